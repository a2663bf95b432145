"""The page itself, by gradio (extra `demo`)."""

import os
from typing import Any

from core.errors import DataError, HarnessError, UsageError
from harness.demo.answers import EMPTY, STYLE, answers_html
from harness.demo.respond import Responder
from harness.wording.numbers import listed

USER = "demo"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_QUEUE = 8
# Text that stands out by 4.5 to 1 (WCAG 2.2), which the theme's own does not everywhere.
_COLOURS = {
    "body_text_color_subdued": "#525c67",
    "body_text_color_subdued_dark": "#a7b1bc",
    "button_primary_background_fill": "#0a5a96",
    "button_primary_background_fill_hover": "#084a7c",
    "button_primary_background_fill_dark": "#86c2f7",
    "button_primary_background_fill_hover_dark": "#a9d4fa",
    "button_primary_text_color": "#ffffff",
    "button_primary_text_color_dark": "#0f1317",
    "slider_color": "#0a5a96",
    "slider_color_dark": "#86c2f7",
}
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

    def answered(audio: str | None, text: str, scale: float, seeds: float) -> tuple[str, str]:
        try:
            shown, heard = responder.respond(
                audio, text=text, audio_scale=float(scale), num_seeds=int(seeds)
            )
        except DataError as error:  # a path on the server is none of the visitor's business
            message = str(error).replace(str(audio), "this sound")
            raise gradio.Error(message, print_exception=False) from None
        except HarnessError as error:
            raise gradio.Error(str(error), print_exception=False) from None
        return answers_html(shown, num_branches=len(responder.runs)), heard

    with gradio.Blocks(
        title="What do these branches make of a sound?", analytics_enabled=False
    ) as page:
        gradio.Markdown(
            "# What do these branches make of a sound?\nRecord or drop a sound; "
            f"{listed(responder.runs)} {'answer' if len(responder.runs) > 1 else 'answers'} it "
            "from the same noise."
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
                images = gradio.HTML(EMPTY, elem_id="answers", padding=False)
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
            theme=gradio.themes.Default(font=fonts, font_mono=fonts).set(**_COLOURS),
            css=STYLE,
            prevent_thread_lock=not is_blocking,
        )
    except OSError as error:
        raise UsageError(f"port {port} cannot be used ({error}); give another --port") from None
