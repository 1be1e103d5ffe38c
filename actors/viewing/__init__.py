"""What becomes visible while it is computed: the stream of planes and the viewers that it reaches."""
