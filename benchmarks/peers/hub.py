"""A hub cache with small random language models under the names that laion-clap and msclap ask for.

Both packages load their text half (RoBERTa, GPT-2) and tokenizers from the hub when they start;
laion-clap reads BERT's and BART's tokenizers at import too. No hub is reached: the widths are
the real ones, the depths and vocabularies are small. Runs in the packages' environment.
"""

import json
from pathlib import Path

import torch
from drawn import weight

_REVISION = "0" * 40
_WORDS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>"]


def write_hub(home: Path) -> None:
    """Write the cache below HF_HOME `home`."""
    from transformers import GPT2Config, GPT2Model, RobertaConfig, RobertaModel

    vocabulary = {word: place for place, word in enumerate([*_WORDS, *_byte_letters()])}
    roberta = RobertaConfig(
        vocab_size=len(vocabulary),
        hidden_size=768,
        num_hidden_layers=2,
        num_attention_heads=12,
        intermediate_size=768,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        pad_token_id=1,
    )
    gpt2 = GPT2Config(vocab_size=len(vocabulary), n_embd=768, n_layer=2, n_head=12)
    for repository, model in (
        ("roberta-base", _drawn(RobertaModel(roberta))),
        ("gpt2", _drawn(GPT2Model(gpt2))),
        ("facebook/bart-base", None),
        ("bert-base-uncased", None),
    ):
        folder = home / "hub" / f"models--{repository.replace('/', '--')}"
        snapshot = folder / "snapshots" / _REVISION
        snapshot.mkdir(parents=True, exist_ok=True)
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / "main").write_text(_REVISION)
        if model is not None:
            model.save_pretrained(snapshot)
        if repository == "bert-base-uncased":
            bert = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
            (snapshot / "vocab.txt").write_text("\n".join(bert))
        else:
            (snapshot / "vocab.json").write_text(json.dumps(vocabulary))
            (snapshot / "merges.txt").write_text("#version: 0.2\n")


def _drawn(model: torch.nn.Module) -> torch.nn.Module:
    state = {
        name: torch.from_numpy(weight(name, tuple(tensor.shape)))
        for name, tensor in model.state_dict().items()
        if tensor.is_floating_point()
    }
    model.load_state_dict(state, strict=False)
    return model


def _byte_letters() -> list[str]:
    """The letters that GPT-2's tokenizer writes the 256 bytes with."""
    from transformers.models.gpt2.tokenization_gpt2 import bytes_to_unicode

    return list(bytes_to_unicode().values())
