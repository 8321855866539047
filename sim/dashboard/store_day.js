// A day in the store, drawn from the ways of its visits. The browser moves everybody; nothing is asked of the server.
const SVG = "http://www.w3.org/2000/svg";
const NEAR_DM = 15; // persons within 1.5 m of each other stand together
const SPEEDS = [30, 120, 300, 1200];

function element(name, attributes, parent, text) {
  const made = document.createElementNS(SVG, name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.appendChild(made);
  return made;
}

function clock(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${String(Math.floor(minutes / 60) % 24).padStart(2, "0")}:${String(minutes % 60).padStart(2, "0")}`;
}

export default {
  template: `
    <div class="store-day">
      <div class="store-day-controls">
        <button ref="play" type="button" class="plain-button" @click="toggle" :aria-pressed="playing">
          {{ playing ? "Pause" : "Play" }}
        </button>
        <output class="store-day-clock" aria-live="off">{{ shownClock }}</output>
        <input type="range" class="store-day-time" aria-label="time of day" :aria-valuetext="shownClock"
          :min="first" :max="last" step="60" :value="Math.floor(now)" @input="jump($event.target.value)" />
        <label>speed
          <select v-model.number="speed" aria-label="speed">
            <option v-for="s in speeds" :key="s" :value="s">{{ s / 60 < 1 ? s + " s/s" : s / 60 + " min/s" }}</option>
          </select>
        </label>
      </div>
      <p class="store-day-said" role="status">{{ said }}</p>
      <svg ref="floor" class="store-day-floor" role="img" aria-label="plan of the store with everybody in it"></svg>
      <p class="store-day-legend">
        <span><i class="dot near-0"></i>nobody else within 1.5 m</span>
        <span><i class="dot near-1"></i>one other</span>
        <span><i class="dot near-2"></i>two or more</span>
        <span v-if="carts"><i class="dot square"></i>square: with a smart cart</span>
        <span>larger: a group that pays together</span>
      </p>
      <svg ref="series" class="store-day-series" role="img" :aria-label="said"></svg>
    </div>`,
  props: { url: String },
  data: () => ({ playing: false, now: 0, first: 0, last: 1, speed: 120, speeds: SPEEDS, said: "loading", carts: false }),
  computed: {
    shownClock() {
      return clock(this.now);
    },
  },
  watch: {
    url() {
      this.load();
    },
  },
  mounted() {
    this.load();
  },
  unmounted() {
    cancelAnimationFrame(this.asked);
  },
  methods: {
    async load() {
      if (!this.url) return;
      const answer = await fetch(this.url);
      if (!answer.ok) {
        this.said = `the day could not be loaded (${answer.status})`;
        return;
      }
      this.day = Object.freeze(await answer.json());
      this.first = this.day.opens_s;
      this.last = this.day.closes_s;
      this.carts = this.day.visits.some((v) => v.c);
      const inside = this.day.series[0].values;
      this.now = this.first + inside.indexOf(Math.max(...inside)) * this.day.every_s;
      this.visits = this.day.visits.map((v) => ({ ...v, from: v.w[0], until: v.w[v.w.length - 3], at: 0, dot: null }));
      this.drawPlan();
      this.drawSeries();
      this.draw();
    },
    toggle() {
      this.playing = !this.playing;
      cancelAnimationFrame(this.asked);
      if (this.playing) {
        if (this.now >= this.last) this.now = this.first;
        this.drawnAt = performance.now();
        this.asked = requestAnimationFrame(this.step);
      }
    },
    step(at) {
      this.now = Math.min(this.last, this.now + ((at - this.drawnAt) / 1000) * this.speed);
      this.drawnAt = at;
      this.draw();
      if (this.now >= this.last) this.playing = false;
      if (this.playing) this.asked = requestAnimationFrame(this.step);
    },
    jump(value) {
      this.now = Number(value);
      this.draw();
    },
    drawPlan() {
      const { zones, paths } = this.day.plan;
      const svg = this.$refs.floor;
      svg.replaceChildren();
      const edge = (sign, axis) =>
        zones.map((z) => z.at[axis] + sign * (z.shelves ? Math.max(z.size[axis] / 2, 12) : 0)).reduce((a, b) => (sign * a > sign * b ? a : b));
      const [x0, y0, x1, y1] = [edge(-1, 0) - 25, edge(-1, 1) - 25, edge(1, 0) + 25, edge(1, 1) + 25];
      // y grows upwards on a plan and downwards on a screen.
      this.flip = (y) => y1 - y + y0;
      svg.setAttribute("viewBox", `${x0} ${y0} ${x1 - x0} ${y1 - y0}`);
      // Lines, letters and dots keep their size on the screen whatever the size of the store.
      this.unit = (x1 - x0) / 560;
      svg.style.setProperty("--unit", `${this.unit}px`);
      element("rect", { x: x0 + 4, y: y0 + 4, width: x1 - x0 - 8, height: y1 - y0 - 8, class: "wall" }, svg);
      for (const [a, b] of paths) {
        const [p, q] = [zones[a].at, zones[b].at];
        element("line", { x1: p[0], y1: this.flip(p[1]), x2: q[0], y2: this.flip(q[1]), class: "way" }, svg);
      }
      for (const zone of zones.filter((z) => z.shelves)) {
        const [w, h] = zone.size;
        const side = zone.upright ? [6, h] : [w, 6];
        for (const sign of [-1, 1]) {
          const shift = zone.upright ? [sign * 15, 0] : [0, sign * 15];
          element("rect", {
            x: zone.at[0] + shift[0] - side[0] / 2, y: this.flip(zone.at[1] + shift[1]) - side[1] / 2,
            width: side[0], height: side[1], class: "shelf",
          }, svg);
        }
      }
      this.people = element("g", {}, svg);
      const { entrance, exit } = this.day.plan;
      const ends = entrance === exit ? [[entrance, "in and out"]] : [[entrance, "in"], [exit, "out"]];
      for (const zone of zones.filter((z) => z.shelves)) {
        const up = zone.upright ? zone.size[1] / 2 + 5 : 18 + 5 * this.unit;
        element("text", { x: zone.at[0], y: this.flip(zone.at[1]) - up, class: "name" }, svg, zone.name);
      }
      for (const [number, word] of ends)
        element("text", { x: zones[number].at[0], y: this.flip(zones[number].at[1]) + 6 + 12 * this.unit, class: "end" }, svg, word);
    },
    drawSeries() {
      const svg = this.$refs.series;
      svg.replaceChildren();
      const high = 46;
      const rows = this.day.series;
      svg.setAttribute("viewBox", `0 0 1000 ${rows.length * (high + 22) + 16}`);
      rows.forEach((row, i) => {
        const base = (i + 1) * (high + 22);
        const most = Math.max(1, ...row.values);
        const step = 1000 / Math.max(1, row.values.length - 1);
        const line = row.values.map((v, k) => `${(k * step).toFixed(1)},${(base - (v / most) * high).toFixed(1)}`).join(" ");
        element("polygon", { points: `0,${base} ${line} 1000,${base}`, class: `area area-${i}` }, svg);
        element("text", { x: 0, y: base - high - 6, class: "series-name" }, svg, `${row.name}, at most ${most}`);
      });
      this.cursor = element("line", { y1: 0, y2: rows.length * (high + 22), class: "cursor" }, svg);
      for (let hour = Math.ceil(this.first / 7200) * 2; hour * 3600 <= this.last; hour += 2) {
        const x = (1000 * (hour * 3600 - this.first)) / (this.last - this.first);
        const anchor = x < 15 ? "start" : x > 985 ? "end" : "middle";
        element("text", { x, y: rows.length * (high + 22) + 14, class: "hour", "text-anchor": anchor }, svg, clock(hour * 3600));
      }
    },
    position(visit) {
      const way = visit.w;
      let at = visit.at;
      if (way[at * 3] > this.now) at = 0;
      while ((at + 2) * 3 < way.length && way[(at + 1) * 3] <= this.now) at++;
      visit.at = at;
      const [t0, x0, y0, t1, x1, y1] = way.slice(at * 3, at * 3 + 6);
      const share = t1 > t0 ? Math.min(1, (this.now - t0) / (t1 - t0)) : 1;
      return [x0 + share * (x1 - x0), y0 + share * (y1 - y0)];
    },
    draw() {
      if (!this.day) return;
      const here = [];
      for (const visit of this.visits) {
        if (visit.from <= this.now && this.now <= visit.until) here.push([visit, ...this.position(visit)]);
        else if (visit.dot) {
          visit.dot.remove();
          visit.dot = null;
        }
      }
      const cells = new Map();
      const key = (x, y) => Math.floor(x / NEAR_DM) * 100003 + Math.floor(y / NEAR_DM);
      for (const row of here) {
        const k = key(row[1], row[2]);
        cells.has(k) ? cells.get(k).push(row) : cells.set(k, [row]);
      }
      for (const [visit, x, y] of here) {
        let near = 0;
        for (const dx of [-NEAR_DM, 0, NEAR_DM])
          for (const dy of [-NEAR_DM, 0, NEAR_DM])
            for (const [other, ox, oy] of cells.get(key(x + dx, y + dy)) || [])
              if (other !== visit && Math.hypot(ox - x, oy - y) <= NEAR_DM) near += other.p;
        const radius = (5 + 1.5 * (visit.p - 1)) * this.unit;
        if (!visit.dot) {
          visit.dot = visit.c
            ? element("rect", { width: 2 * radius, height: 2 * radius, x: -radius, y: -radius }, this.people)
            : element("circle", { r: radius }, this.people);
        }
        visit.dot.setAttribute("transform", `translate(${x.toFixed(1)} ${this.flip(y).toFixed(1)})`);
        visit.dot.setAttribute("class", `near-${Math.min(2, near)}`);
      }
      const minute = Math.min(this.day.series[0].values.length - 1, Math.floor((this.now - this.first) / this.day.every_s));
      this.said = this.day.series.map((row) => `${row.name}: ${row.values[minute]}`).join(" · ");
      const x = (1000 * (this.now - this.first)) / (this.last - this.first);
      this.cursor.setAttribute("x1", x);
      this.cursor.setAttribute("x2", x);
    },
  },
};
