"""The page itself, by gradio (extra `demo`)."""

import os
from typing import Any

from core.errors import DataError, HarnessError, UsageError
from harness.demo.respond import Responder

USER = "demo"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_QUEUE = 8
_SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif")


def require_gradio() -> Any:
    """The library, which asks nobody and reports to nobody.

    Raises: UsageError with what to install.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio
    except ImportError:
        raise UsageError("harness demo needs gradio: pip install 'branch-harness[demo]'") from None
    return gradio


def require_safe(host: str, *, password: str | None) -> None:
    """Return if only this machine reaches the page, or a password is asked for.

    Raises: UsageError.
    """
    if host not in _LOOPBACK and not password:
        raise UsageError(
            f"--host {host} lets other machines in; give a password with --password-file, or leave "
            "--host out"
        )


def build_page(responder: Responder) -> Any:
    """The `gradio.Blocks` of the page."""
    gradio = require_gradio()
    limits = responder.limits

    def answered(audio: str | None, text: str, scale: float, seeds: float) -> tuple[list[Any], str]:
        try:
            shown, heard = responder.respond(
                audio, text=text, audio_scale=float(scale), num_seeds=int(seeds)
            )
        except DataError as error:  # a path on the server is none of the visitor's business
            message = str(error).replace(str(audio), "this sound")
            raise gradio.Error(message, print_exception=False) from None
        except HarnessError as error:
            raise gradio.Error(str(error), print_exception=False) from None
        return [(one.pixels_HWC, one.words) for one in shown], heard

    with gradio.Blocks(title="What do these branches hear?", analytics_enabled=False) as page:
        gradio.Markdown(
            "# What do these branches hear?\nRecord or drop a sound; "
            f"{', '.join(responder.runs)} answer it from the same noise."
        )
        with gradio.Row():
            with gradio.Column(scale=1):
                audio = gradio.Audio(
                    sources=["upload", "microphone"],
                    type="filepath",
                    buttons=["download"],
                    label=f"Sound: the first {responder.window_s:g} s are heard",
                )
                text = gradio.Textbox(label="Caption (may be empty)", max_length=limits.max_caption)
                scale = gradio.Slider(
                    0,
                    limits.max_scale,
                    value=1,
                    step=0.25,
                    label="Audio scale: 0 ignores the sound",
                )
                seeds = gradio.Slider(
                    1, limits.max_seeds, value=min(2, limits.max_seeds), step=1, label="Noises"
                )
                button = gradio.Button("Generate", variant="primary", elem_id="generate")
            with gradio.Column(scale=2):
                images = gradio.Gallery(
                    label="Side by side, a row for each noise",
                    columns=len(responder.runs),
                    object_fit="contain",
                    height="auto",
                    buttons=["download", "fullscreen"],
                    format="png",
                    elem_id="answers",
                )
                heard = gradio.Markdown(elem_id="heard")
        button.click(
            answered,
            inputs=[audio, text, scale, seeds],
            outputs=[images, heard],
            concurrency_limit=1,
            api_visibility="private",
        )
    page.queue(max_size=_QUEUE)
    return page


def launch(
    page: Any,
    *,
    host: str,
    port: int,
    password: str | None,
    opens_browser: bool,
    limits_bytes: int,
    is_blocking: bool = True,
) -> Any:
    """Serve the page; returns what `gradio.Blocks.launch` does.

    Raises: UsageError for a port that is taken, or a host that others reach without a password.
    """
    gradio = require_gradio()
    require_safe(host, password=password)
    fonts = [gradio.themes.Font(name) for name in _SANS]
    try:
        return page.launch(
            server_name=host,
            server_port=port,
            inbrowser=opens_browser,
            auth=None if password is None else (USER, password),
            share=False,
            max_file_size=limits_bytes,
            quiet=True,
            ssr_mode=False,
            footer_links=[],
            theme=gradio.themes.Default(font=fonts, font_mono=fonts),
            prevent_thread_lock=not is_blocking,
        )
    except OSError as error:
        raise UsageError(f"port {port} cannot be used ({error}); give another --port") from None
