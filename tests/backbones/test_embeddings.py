"""What is trained on given embeddings: dropout is dropout, and layers are weighted."""

from __future__ import annotations

import pytest
import torch
from rsbench.backbones.embeddings import Embeddings, Layers, dropped


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.999])
def test_a_share_of_the_values_is_dropped_and_the_expectation_stays(share: float) -> None:
    torch.manual_seed(0)
    values = torch.full((300, 1001), 3.0)  # no multiple of the four values that one draw is for
    kept = dropped(values, share)
    assert (kept == 0).float().mean().item() == pytest.approx(share, abs=0.002)
    exact = round(share * 2**16) / 2**16
    assert kept[kept != 0].unique().tolist() == [pytest.approx(3 / (1 - exact))]
    # Neighbours, which come from one draw, are dropped independently of each other.
    assert ((kept[:, 1:] == 0) & (kept[:, :-1] == 0)).float().mean().item() == pytest.approx(share**2, abs=0.003)


def test_it_follows_the_seed_and_is_for_training_alone() -> None:
    values = torch.randn(8, 6)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(dropped(values, 0.5))
    assert draws[0].equal(draws[1])
    assert not draws[0].equal(draws[2])
    model = Embeddings(6, 1, dropout=0.5).eval()
    assert model(values).equal(model(values))


def test_without_a_width_embeddings_are_standardised_in_training_and_passed_on_where_nothing_is_trained() -> None:
    values = 3 + 2 * torch.randn(64, 6)
    model = Embeddings(6, 1, width=0, dropout=0.0)
    assert (model.embedding_dim, list(model.parameters())) == (6, [])
    torch.testing.assert_close(model.eval()(values), values, rtol=1e-5, atol=0)  # batch norm's ε is all that it adds
    standardised = model.train()(values)
    torch.testing.assert_close(standardised.mean(dim=0), torch.zeros(6), rtol=0, atol=1e-5)
    assert Embeddings(6, 1, width=0, hidden=4).embedding_dim == 4


@torch.no_grad()
def test_layers_are_summed_by_their_weights() -> None:
    backbone = Layers(12, 1, count=3, width=0).eval()
    layers = torch.randn(5, 3, 4)
    scale = (1 + 1e-5) ** -0.5  # of batch norm that has seen nothing: a variance of 1, and its eps
    torch.testing.assert_close(backbone(layers.flatten(1)), scale * layers.mean(dim=1))
    backbone.weighting.copy_(torch.tensor([0.0, 100.0, 0.0]))
    torch.testing.assert_close(backbone(layers.flatten(1)), scale * layers[:, 1])
