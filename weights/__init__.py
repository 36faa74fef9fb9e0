"""The demo's pretrained backbone and how it was made: drawings, pretraining and a linear probe."""
