"""The edge bundle that a mobile engineer receives: write, verify, predict, sign."""
