"""Models that give their whole answer in one pass: samples per second of encoders, vision, speech and diffusion."""
