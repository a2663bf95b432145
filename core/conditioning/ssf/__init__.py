"""SSF, "scaling and shifting your features" (Lian et al. 2022), as a peft tuner."""
