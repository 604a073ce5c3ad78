"""Conformance tests for any LlamaIndex LLM class that uses an OpenAI-compatible URL.

`python -m tests.conformance texapi openai-like` runs them and prints one table.
"""
