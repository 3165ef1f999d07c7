"""Who is told of a run while it trains: TensorBoard, csv files, Weights & Biases, MLflow, and those of plugins."""
