"""Where data, training and results meet: a run, its folds, the embeddings of a data set."""
