"""Pictures of models that are trained on their own: a dashboard of the training, and what the model predicts."""
