"""What a LlamaIndex LLM on an OpenAI-compatible URL should do, as tests for any such class.

`python -m tests.conformance texapi openai-like` runs them and prints one table.
"""
