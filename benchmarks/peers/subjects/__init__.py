"""What is compared: a module for each subject, imported in the subject's own environment only."""
