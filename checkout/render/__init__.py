"""The recordings' maker: a small store with shoppers, filmed and weighed, with its exact truth."""
