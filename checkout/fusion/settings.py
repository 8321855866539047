"""The numbers of the fusion model."""

from __future__ import annotations

from dataclasses import dataclass

UNKNOWN_SHOPPER = "unknown"


@dataclass(frozen=True)
class FusionSettings:
    """Numbers of the model; all assumed unless they say otherwise.

    Attributes:
        step_floor_g: error of a step beyond its own standard error.
        gain_error: plates' gain error, share of the load.
        gain_fault, gain_fault_share: how often a plate's gain is off by much, and by how much then.
        leak_share, leak_floor_g: standard deviation of what neighbours' plates take over.
        across_facings: probability that an item does not stand on its facing's plates alone.
        quantity: probability of 1, 2, 3 ... units in one grab.
        misplaced: probability that a pick takes something that nobody was seen to leave there.
        stray_front: probability that a pick takes the unit that was left at its facing last, for it stands in front.
        put_back_share: share of put-backs among shelf events (published: 23.6 % in the truth of AutoCheckout).
        put_back_elsewhere: probability that a put-back goes to a wrong facing.
        twin_elsewhere: of these, the share that goes to a facing of the same weight.
        same_weight_g: weights this close are the same.
        swap, swap_s: probability that a put-back is the second half of a swap: a product of the same weight is left
            where another was taken within this time (measured on rendered training plans, whose people swap often:
            13 of 96 put-backs).
        two_products: probability that one step holds two products.
        nothing: probability that a step is no shelf event.
        nothing_scale_g: scale of such a step (Laplace).
        fragment: probability that a step is only a part of the next one.
        overlap_s: steps of adjacent plates between which the load is held for less may disturb each other or be one.
        overlap_share: error of the level between two such steps, share of the lesser.
        elsewhere: floor of the shopper likelihood: the hand was not seen, or somebody else's was.
        hand_over: probability that a unit changed hands unseen between two events.
        not_in_cart: probability that a put-back is of something that nobody was seen to take.
        one_hand_s, one_hand: two events closer in time than this are one person's with this relative weight
            (measured on rendered training plans: none of 2,000 pairs was closer than 1.8 s).
        same_act_s, others_act_s: two moments of vision alone at one facing closer in time than this are one act, the
            second where they seem to be of different shoppers (measured on validation recordings: F1 of vision alone
            is the same from 0.8 to 1.6 s, and highest at 0.6 of 0.3, 0.6, 0.9 and 1.2 s).
        sight_trust: probability that a camera's moment belongs to the step that it coincides with.
        moment_reach_s: a moment and a step belong together when they are at most this far apart.
        hand_around_s: how long a hand that no camera saw is at the facing before and after its step (measured on the
            validation recordings: 0.51 and 0.49 s in the middle of 76 events).
        least_sure: a change becomes an event when something happened with at least this probability.
        lingering_s: a hand that stays longer than this lingers (measured on the validation recordings: 97 % of the
            other reaches that were seen took less than 1.2 s).
        stories, lowest: at most so many joint explanations are followed, and none of less than this share of the best.
        candidates: at most so many explanations of one step.
        joint: False explains every step by itself, as it comes, and keeps only the best (for comparison).
        follow_units: False forgets what was misplaced and what the units taken weighed (for comparison).
    """

    step_floor_g: float = 0.5
    gain_error: float = 0.002
    gain_fault: float = 0.02
    gain_fault_share: float = 0.04
    leak_share: float = 0.05
    leak_floor_g: float = 5.0
    across_facings: float = 0.05
    quantity: tuple[float, ...] = (0.85, 0.11, 0.03, 0.01)
    misplaced: float = 0.01
    stray_front: float = 0.7
    put_back_share: float = 0.236
    put_back_elsewhere: float = 0.15
    twin_elsewhere: float = 0.2
    same_weight_g: float = 10.0
    swap: float = 0.2
    swap_s: float = 8.0
    two_products: float = 0.02
    nothing: float = 0.05
    nothing_scale_g: float = 12.0
    fragment: float = 0.05
    overlap_s: float = 1.2
    overlap_share: float = 0.08
    elsewhere: float = 0.01
    hand_over: float = 0.02
    not_in_cart: float = 0.05
    one_hand_s: float = 1.2
    one_hand: float = 0.05
    same_act_s: float = 1.2
    others_act_s: float = 0.6
    sight_trust: float = 0.8
    moment_reach_s: float = 0.8
    hand_around_s: float = 0.5
    least_sure: float = 0.4
    lingering_s: float = 1.4
    stories: int = 32
    lowest: float = 1e-4
    candidates: int = 10
    joint: bool = True
    follow_units: bool = True
