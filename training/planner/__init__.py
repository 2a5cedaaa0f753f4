"""Builds the training data of the planner: questions with their plans."""
