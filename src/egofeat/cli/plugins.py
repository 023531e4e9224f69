"""`plugins`: what installed packages add."""

from egofeat.cli.app import Json, app, show


@app.command("plugins", rich_help_panel="Features")
def plugins_command(as_json: Json = False) -> None:
    """List what installed packages add: backbones, heads, data-set formats, store formats."""
    from egofeat.pipelines.plugins import plugins

    show(plugins(), as_json)
