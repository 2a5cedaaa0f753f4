"""`compllm mcp`: the team as tools for programs that speak the Model Context Protocol."""

from __future__ import annotations

import sys

from compllm.cli.common import TeamOption, needing, synchronous


@synchronous
async def mcp(team: TeamOption = None) -> None:
    """Serve the team to an MCP client over standard input and output: the tools `ask`, `plan` and `explain`."""
    from compllm.assembly import secrets_of
    from compllm.pipeline import Team

    with needing("mcp"):
        from compllm.serve.logs import write_logs
        from compllm.serve.mcp import make_mcp
    async with Team.load(team) as opened:
        write_logs(sys.stderr, secrets_of(opened.file))
        await make_mcp(opened).run_stdio_async()
