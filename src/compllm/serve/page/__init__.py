"""The web page: a team's thinking in plain sight, on the port of the API."""

from compllm.serve.page.mount import mount_page

__all__ = ["mount_page"]
