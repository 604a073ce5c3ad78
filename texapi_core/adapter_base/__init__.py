"""What the adapters for LangChain and LlamaIndex inherit and share."""

__all__: tuple[str, ...] = ()
