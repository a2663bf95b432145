"""The contract of a conditioning variant and the layers variants share."""
