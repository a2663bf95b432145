"""Where runs are computed: processes of this machine, or the nodes of a Ray cluster."""
