"""What of a results folder may go, by stated rules, and taking it away."""
