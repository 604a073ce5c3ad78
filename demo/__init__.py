"""The first minute: both frameworks answer through TexAPI's protocol."""
