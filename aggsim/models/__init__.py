"""What a model is made of: ModelSpec, its parser for Hugging Face config.json files, and the bundled models."""
