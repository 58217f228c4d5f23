"""What a labelled video is, where data sets keep them, and how batches are drawn from them."""
