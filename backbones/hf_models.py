"""Models of transformers that hear: AST, wav2vec 2.0, HuBERT, WavLM and the audio tower of CLAP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rsbench import Backbone, Frontend, RsbenchError, register_backbone
from rsbench.core.errors import SpecError, WeightsError

from ._hf_catalogue import AST, CLAP, Description, called, describe, library, weights_beside

NET = "net."
EPS = 1e-6  # added to a variance, whose root has no gradient at 0


@register_backbone(
    "hf",
    summary="a model of transformers, hf:FOLDER or hf:OWNER/NAME: AST, wav2vec 2.0, HuBERT, WavLM, CLAP's audio tower",
    paper="Wolf et al., Transformers: state-of-the-art natural language processing, EMNLP 2020",
)
class Hf(Backbone):
    """Embeddings are what the model makes of a clip, pooled over time. Its own weights are the default.

    The front end is that of the model's feature extractor. Masks that a model would draw in training are switched off;
    dropout and layer drop are as its configuration says. AST is given features filled up to the frames that it was
    trained on. The recipe is that of AST in the field.

    Args:
        n_mels: bins of the features, 1 of a waveform.
        n_frames: frames of the features, samples of a waveform.
        model: a folder that `save_pretrained` wrote, or a repository of the hub, OWNER/NAME or OWNER/NAME@REVISION.
        config: what is read of `model`, as the spec of a run keeps it; the model itself is then not asked.
        pooling: "mean" over what is heard; "cls", the mean of AST's class and distillation tokens; "statistics", mean
            and standard deviation, twice as wide; "published" is cls where there is one, and the mean elsewhere.

    Raises SpecError for a model that cannot be read or pooled so, RsbenchError for features that it cannot take.
    """

    frontend = Frontend("waveform")  # of most of them; `frontend_for` asks the model
    recipe: ClassVar = {"lr": 5e-5, "batch_size": 8, "weight_decay": 1e-6}
    after_colon = "model"

    def __init__(
        self,
        n_mels: int,
        n_frames: int,
        *,
        model: str = "",
        config: str = "",
        pooling: Literal["published", "mean", "cls", "statistics"] = "published",
    ) -> None:
        super().__init__(n_mels, n_frames)
        description = _description(model, config)
        self.kind: str = description.model["model_type"]
        self.class_tokens = description.architecture.class_tokens
        self.pooling = pooling
        if pooling == "published":
            self.pooling = "cls" if self.class_tokens else "mean"
        if self.pooling == "cls" and not self.class_tokens:
            raise SpecError(f"backbone.pooling=cls: {self.kind} has no class token. Say mean, or statistics.")
        transformers = library()
        try:
            settings = getattr(transformers, description.architecture.config).from_dict(dict(description.model))
            self.net = getattr(transformers, description.architecture.model)(settings)
        except Exception as error:  # whatever transformers makes of a stranger's configuration
            raise SpecError(f"transformers makes no {self.kind} of this config.json: {error}.") from None
        self.longest = n_frames
        if self.kind == AST:
            self.longest = settings.max_length
            self.silence = -description.frontend["mean"] / (2 * description.frontend["spread"])
        elif self.kind == CLAP:
            self.longest = settings.spec_size * (settings.spec_size // settings.num_mel_bins)
        self.embedding_dim = self._width(model or self.kind)

    @classmethod
    def frontend_for(cls, *, model: str = "", config: str = "", **options: Any) -> Frontend:
        """That of the model's feature extractor."""
        settings = dict(_description(model, config).frontend)
        return Frontend(settings.pop("name"), settings)

    @classmethod
    def settled(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """With what the model says of itself, and with its own weights where nobody asks for others."""
        if given.get("config"):
            return given
        model = str(given.get("model", ""))
        known = {"model": called(model), "config": describe(model).text()}
        return {**given, **known, "weights": given.get("weights") or weights_beside(model)}

    def forward(self, features: Tensor) -> Tensor:
        return self._pooled(self.net(self._input(features)).last_hidden_state)

    def layer_embeddings(self, features: Tensor) -> Tensor:
        """Of what enters the first block and of what leaves each, as transformers gives them.

        Raises SpecError for CLAP, whose blocks are of several widths.
        """
        states = self.net(self._input(features), output_hidden_states=True).hidden_states
        pooled = [self._pooled(state) for state in states]
        if len({each.shape[1] for each in pooled}) > 1:
            widths = ", ".join(str(each.shape[1]) for each in pooled)
            raise SpecError(f"The layers of {self.kind} are of several widths ({widths}). Leave out --layers.")
        return torch.stack(pooled, dim=1)

    def stages(self) -> list[list[str]]:
        """What makes the first hidden states, every block, the last norm."""
        found = [NET + name for name in _blocks(self.net)]
        first = [name for name in found if name.endswith(".batch_norm")]  # CLAP's, which is defined near its end
        last = [NET + "encoder.layer_norm"] if getattr(self.net.config, "do_stable_layer_norm", False) else []
        moved = {*first, *last}
        return [[name] for name in (*first, *(name for name in found if name not in moved), *last)]

    def translate(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Checkpoints of this model alone or with heads, as transformers reads them; our own are left as they are.

        Raises WeightsError where a tensor is missing, of another shape, or of a part that this model does not have.
        """
        if all(name.startswith(NET) for name in state):
            return dict(state)
        tower = "audio_model."  # in a whole CLAP
        inner = {name.removeprefix(tower): tensor for name, tensor in state.items() if name.startswith(tower)}
        net, report = type(self.net).from_pretrained(
            None,
            config=self.net.config,
            state_dict=inner or dict(state),
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            dtype=torch.float32,
        )
        parts = {name for name, _ in self.net.named_children()}
        base = f"{self.net.base_model_prefix}."
        too_many = [name for name in report["unexpected_keys"] if name.removeprefix(base).partition(".")[0] in parts]
        wrong = {
            "missing in the file": report["missing_keys"],
            "of another shape in the file": [name for name, *_ in report["mismatched_keys"]],
            "in the file alone": too_many,
        }
        for said, names in wrong.items():
            if names:
                more = f", and so are {len(names) - 1} more" if len(names) > 1 else ""
                raise WeightsError(
                    f"The weights are not for this {type(self.net).__name__}: tensor '{min(names)}' is {said}{more}. "
                    "Give those that were saved with its config.json."
                )
        return {NET + name: tensor for name, tensor in net.state_dict().items()}

    def _input(self, features: Tensor) -> Tensor:
        """Features (B, n_mels, n_frames) as the model takes them."""
        if self.kind == AST:
            return F.pad(features, (0, self.longest - features.shape[2]), value=self.silence).transpose(1, 2)
        return features.transpose(1, 2).unsqueeze(1) if self.kind == CLAP else features.squeeze(1)

    def _pooled(self, states: Tensor) -> Tensor:
        """(B, D) of hidden states (B, tokens, D), or (B, D, rows, columns) as CLAP has them."""
        tokens = states.flatten(2).transpose(1, 2) if states.ndim == 4 else states
        if self.pooling == "cls":
            return tokens[:, : self.class_tokens].mean(dim=1)
        heard = tokens[:, self.class_tokens :]
        if self.pooling == "mean":
            return heard.mean(dim=1)
        variance, mean = torch.var_mean(heard, dim=1, correction=0)
        return torch.cat([mean, (variance + EPS).sqrt()], dim=1)

    def _width(self, called: str) -> int:
        """Width of the embeddings. Raises RsbenchError where it takes no such features."""
        if self.n_frames > self.longest:
            raise RsbenchError(
                f"{called} takes at most {self.longest} frames, and was given {self.n_frames}. Use shorter clips "
                "(data.clip_s)."
            )
        training = self.training
        try:
            with torch.no_grad():
                embeddings: Tensor = self.eval()(torch.zeros(1, self.n_mels, self.n_frames))
        except (RuntimeError, ValueError) as error:  # as the model puts it
            raise RsbenchError(
                f"{called} cannot take {self.n_mels} bins × {self.n_frames} frames ({error}). Use longer clips "
                "(data.clip_s), and the model's own front end."
            ) from None
        self.train(training)
        return embeddings.shape[1]


def _description(model: str, config: str) -> Description:
    return Description.parse(config) if config else describe(model)


def _blocks(module: nn.Module, prefix: str = "") -> Sequence[str]:
    """Names of modules and parameters in the order of their definition, lists of layers entry by entry."""
    found = [prefix + name for name, _ in module.named_parameters(recurse=False)]
    for name, child in module.named_children():
        if any(isinstance(inner, nn.ModuleList) for inner in child.modules()):
            found += _blocks(child, f"{prefix}{name}.")
        elif next(child.parameters(), None) is not None:
            found.append(prefix + name)
    return found
