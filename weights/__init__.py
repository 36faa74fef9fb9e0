"""The demo's pretrained backbone, and how it was made: drawings, pretraining, what the transfer is worth."""
