"""The projector SonicDiffusion released (arXiv 2405.00878), as its chain was meant to run.

In the released code each of the four blocks reads the convolutions' output, so that three of them
are dead. Here each reads the block before it.

The convolutions turn an embedding of D channels into tokens of (3 D - 3) // 4 + 1: 768 for the
paper's 1,024, 384 for 512-d CLAP. Blocks work at that width and the last layer leads to the
UNet's; at 1,024 and 768 every layer has the released shape.

Shape legend: B batch, D embedding width, N tokens, V width of the tokens inside, C context width,
H heads, E channels of a head.
"""

from torch import Tensor, nn
from torch.nn import functional

KERNEL = 17
NUM_BLOCKS = 4
NUM_HEADS, HEAD_DIM = 8, 40


def inner_width(embedding_dim: int) -> int:
    """V: the length that the convolutions make of D."""
    return (3 * embedding_dim - 3) // 4 + 1


class PaperBlock(nn.Module):
    """Self-attention without an output projection, then a feed-forward layer, plus the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        attention_dim = NUM_HEADS * HEAD_DIM
        self.to_q = nn.Linear(width, attention_dim, bias=False)
        self.to_k = nn.Linear(width, attention_dim, bias=False)
        self.to_v = nn.Linear(width, attention_dim, bias=False)
        self.feed_forward = nn.Sequential(
            nn.Linear(attention_dim, attention_dim), nn.GELU(), nn.Linear(attention_dim, width)
        )

    def forward(self, x_BNV: Tensor) -> Tensor:
        query_BHNE, key_BHNE, value_BHNE = (
            to(x_BNV).unflatten(-1, (NUM_HEADS, HEAD_DIM)).transpose(1, 2)
            for to in (self.to_q, self.to_k, self.to_v)
        )
        heard_BHNE = functional.scaled_dot_product_attention(query_BHNE, key_BHNE, value_BHNE)
        return x_BNV + self.feed_forward(heard_BHNE.transpose(1, 2).flatten(2))


class PaperProjector(nn.Module):
    """Pooled embedding [B, D] to audio tokens [B, N, C], N being the caption's 77."""

    def __init__(self, embedding_dim: int, *, num_tokens: int, context_dim: int) -> None:
        super().__init__()

        def same_length(in_channels: int) -> nn.Conv1d:
            return nn.Conv1d(in_channels, num_tokens, KERNEL, padding=8)

        width = inner_width(embedding_dim)
        self.convolutions = nn.Sequential(
            same_length(1),
            nn.GELU(),
            same_length(num_tokens),
            nn.GELU(),
            nn.LayerNorm([num_tokens, embedding_dim]),
            same_length(num_tokens),
            nn.GELU(),
            nn.LayerNorm([num_tokens, embedding_dim]),
            nn.ConvTranspose1d(num_tokens, num_tokens, KERNEL, stride=3, padding=7),
            nn.GELU(),
            nn.LayerNorm([num_tokens, 3 * embedding_dim]),
            nn.GELU(),
            nn.Conv1d(num_tokens, num_tokens, KERNEL, stride=4, padding=7),
        )
        self.blocks = nn.Sequential(*(PaperBlock(width) for _ in range(NUM_BLOCKS)))
        self.out = nn.Linear(width, context_dim)

    def forward(self, embedding_BD: Tensor) -> Tensor:
        return self.out(self.blocks(self.convolutions(embedding_BD[:, None])))
