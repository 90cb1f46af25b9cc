"""The page /docs: what the server answers, from its OpenAPI description, in HTML that loads nothing."""

import json
from collections.abc import Mapping
from html import escape
from typing import Any

STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "code,pre{font-family:monospace;background:#eee;padding:.1em .3em}pre{padding:1em;overflow:auto}"
    "table{border-collapse:collapse}td,th{border:1px solid #bbb;padding:.3em .6em;text-align:left}"
)


def page(description: Mapping[str, Any]) -> str:
    """Return the page of an OpenAPI description."""
    info = description["info"]
    parts = [
        f"<h1>{escape(info['title'])}</h1><p>{escape(info['description'])}</p>",
        '<p>The same for programs: <a href="openapi.json">openapi.json</a>.</p>',
    ]
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2>")
            parts.append(f"<p>{escape(operation.get('description', ''))}</p>")
            parts.append(_body(operation))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>"
    )


def _body(operation: Mapping[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return ""
    schema = content["schema"]
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{_default(name, key, schema)}</td>"
        f"<td>{escape(key.get('description', ''))}</td></tr>"
        for name, key in schema["properties"].items()
    )
    table = f"<table><tr><th>Key</th><th>Default</th><th>Meaning</th></tr>{rows}</table>"
    example = content.get("example")
    shown = "" if example is None else f"<pre>{escape(json.dumps(example, indent=2))}</pre>"
    return table + shown


def _default(name: str, key: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if name in schema.get("required", ()):
        return "required"
    return f"<code>{escape(json.dumps(key.get('default')))}</code>"
