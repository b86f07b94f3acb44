"""Synthetic scenes: the flow, the occlusion and the times are those of the images."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from datamodules.scenes.scene import Layer, Motion, Scene, Texture
from datamodules.scenes.shapes import Blob, Ellipse, Polygon, Shape
from datamodules.scenes.style import SceneStyle
from datamodules.synthetic import Synthetic, exact_map
from vfi_train.architectures.layers.warp import warp

SHAPES: list[Shape] = [
    Ellipse((9.0, 5.0), 0.7),
    Polygon((0.3, 1.9, 3.2, 4.8), (6.0, 8.0, 5.0, 7.0)),
    Blob(((-3.0, 1.0), (4.0, 2.0), (0.0, -4.0)), 4.0),
]


def wave(seed: int, period: float = 16.0) -> Texture:
    rng = np.random.default_rng(seed)
    angles = rng.uniform(0, 2 * np.pi, 3)
    waves = 2 * np.pi / period * np.stack((np.cos(angles), np.sin(angles)), axis=1)
    return Texture(rng.uniform(0.3, 0.7, 3), waves, rng.uniform(0, 6, 3), rng.uniform(-0.1, 0.1, (3, 3)))


def scenes(count: int, **style: float) -> list[Scene]:
    return [SceneStyle(**style).draw(np.random.default_rng(seed)) for seed in range(count)]  # type: ignore[arg-type]


def backward_warp(frame: np.ndarray, flow: np.ndarray) -> np.ndarray:
    tensors = (torch.from_numpy(np.ascontiguousarray(a)).double().permute(2, 0, 1)[None] for a in (frame, flow))
    return warp(*tensors)[0].permute(1, 2, 0).numpy()


def soft_edges(scene: Scene, time: float) -> np.ndarray:
    """Pixels where two layers mix."""
    mixed = np.zeros((scene.height, scene.width), bool)
    snapshot = scene.at(time)
    for (rows, columns), opacity in zip(snapshot.windows[1:], snapshot.opacities, strict=True):
        mixed[rows.start : rows.stop, columns.start : columns.stop] |= (opacity > 0) & (opacity < 1)
    return mixed


@pytest.mark.parametrize("nonuniform", [0.0, 1.0])
@pytest.mark.parametrize(("time", "end"), [(0.5, 0), (0.5, 1), (0.2, 1), (0.9, 0)])
def test_warping_an_end_by_its_flow_gives_the_target(nonuniform: float, time: float, end: int) -> None:
    """On pixels that are in view at both times and only one layer: bilinear error of a smooth texture."""
    for scene in scenes(6, nonuniform=nonuniform):
        snapshot = scene.at(time)
        flow, target = snapshot.flow(end), snapshot.image()
        error = np.abs(backward_warp(scene.render(end), flow) - target).max(axis=2)
        mixed = soft_edges(scene, end)[..., None].astype(np.float64)
        seen = ~scene.occlusion(time, end) & ~soft_edges(scene, time) & (backward_warp(mixed, flow)[..., 0] == 0)
        assert seen.mean() > 0.5
        assert error[seen].mean() < 0.006
        assert error[seen].max() < 0.07  # the sharpest waves, of eight pixels
        assert error[~seen].mean() > 5 * error[seen].mean()


def test_a_pure_shift_moves_the_whole_image() -> None:
    scene = Scene((Layer(wave(0), Motion((20.0, 12.0), shift=(3.0, -2.0))),), 24, 40)
    frame0, target, frame1 = (scene.render(t) for t in (0.0, 0.5, 1.0))
    np.testing.assert_allclose(frame1[:-4, 6:], frame0[4:, :-6], atol=2e-6)  # 6 to the right, 4 up
    np.testing.assert_allclose(target[:-2, 3:], frame0[2:, :-3], atol=2e-6)
    np.testing.assert_allclose(scene.at(0.5).flow(0), np.broadcast_to((-3.0, 2.0), (24, 40, 2)), atol=1e-5)
    np.testing.assert_allclose(scene.at(0).flow(1), np.broadcast_to((6.0, -4.0), (24, 40, 2)), atol=1e-5)


def test_a_texture_is_the_sum_of_its_waves() -> None:
    texture = Texture(
        np.array((0.1, 0.2, 0.3)), np.array(((0.3, -0.2),)), np.array((0.7,)), np.array(((1,), (2,), (3,)))
    )
    motion = Motion((5.0, 7.0), shift=(1.0, 2.0), grow=0.1, turn=0.2)
    got = texture.render(motion.at(0.8).inverse(), range(2, 6), range(1, 9))
    p = 0.6
    matrix = np.array(((1 + 0.1 * p, -0.2 * p), (0.2 * p, 1 + 0.1 * p)))
    y, x = np.mgrid[2:6, 1:9].astype(float)
    u, v = np.einsum("ij,jhw->ihw", np.linalg.inv(matrix), np.stack((x - 5 - p, y - 7 - 2 * p)))
    expected = np.cos(0.3 * u - 0.2 * v + 0.7)
    for channel in range(3):
        np.testing.assert_allclose(got[channel], 0.1 * (channel + 1) + (channel + 1) * expected, atol=1e-5)


def test_flow_doubles_with_the_motion() -> None:
    once = scenes(4, background_motion=1.5, object_motion=3)
    twice = scenes(4, background_motion=3, object_motion=6)
    for a, b in zip(once, twice, strict=True):
        for end in (0, 1):
            np.testing.assert_allclose(b.at(0.5).flow(end), 2 * a.at(0.5).flow(end), atol=1e-4)


def test_without_curves_each_point_keeps_its_speed() -> None:
    for scene in scenes(4):
        snapshot = scene.at(0.5)
        np.testing.assert_allclose(snapshot.flow(0.25) * 2, snapshot.flow(0), atol=1e-4)
        np.testing.assert_allclose(snapshot.flow(0), -snapshot.flow(1), atol=1e-4)
    bent = [np.abs(s.at(0.5).flow(0) + s.at(0.5).flow(1)).max() for s in scenes(4, nonuniform=1)]
    assert min(bent) > 0.3  # pixels


def test_where_things_are_on_straight_paths_is_open() -> None:
    """The same two frames, whatever the speeds; half-way in time, any share of the way from 1/4 to 3/4."""
    shares: list[float] = []
    for even, uneven in zip(scenes(60), scenes(60, nonuniform=1, curved=False), strict=True):
        for end in (0, 1):
            np.testing.assert_allclose(uneven.render(end), even.render(end), atol=1e-6)
        for layer in uneven.layers:
            start, middle, end_ = (np.array(layer.motion.at(t)(0, 0)) for t in (0, 0.5, 1))
            way = end_ - start
            shares.append(float((middle - start) @ way / (way @ way)))
            np.testing.assert_allclose(middle, start + shares[-1] * way, atol=1e-9)  # on the straight line
    counts = np.histogram(shares, bins=4, range=(0.25, 0.75))[0]
    assert counts.sum() == len(shares) > 150
    assert abs(counts - len(shares) / 4).max() < 4 * math.sqrt(len(shares) * 0.25 * 0.75)  # 4 sigma


@pytest.mark.parametrize("nonuniform", [0.0, 1.0])
def test_motion_stays_within_its_limits(nonuniform: float) -> None:
    for scene in scenes(12, background_motion=2, object_motion=4, nonuniform=nonuniform):
        snapshot = scene.at(0.5)
        length = np.hypot(*np.moveaxis(snapshot.flow(0), 2, 0))
        background = snapshot.topmost() == 0
        extra = 0.5 * nonuniform  # a bend, and where the middle of time is not the middle of the path
        assert length[background].max() <= 2 * (1.01 + extra)
        assert length.max() <= 4 * (1.01 + extra)
        assert length.max() > 0.5


def test_occlusion_of_a_disc_over_a_still_background() -> None:
    disc = Layer(wave(1), Motion((20.0, 16.0), shift=(5.0, 0.0)), Ellipse((6.0, 6.0)))
    scene = Scene((Layer(wave(0), Motion((20.0, 16.0))), disc), 32, 40)
    y, x = np.mgrid[:32, :40].astype(float)

    def covers(centre: float) -> np.ndarray:
        return np.hypot(x - centre, y - 16) <= 6

    assert np.array_equal(scene.at(0.5).topmost() == 1, covers(20))
    assert np.array_equal(scene.occlusion(0.5, 0), covers(15) & ~covers(20))
    assert np.array_equal(scene.occlusion(0.5, 1), covers(25) & ~covers(20))


def test_what_leaves_the_image_is_occluded() -> None:
    scene = Scene((Layer(wave(0), Motion((10.0, 10.0), shift=(3.0, 0.0))),), 16, 20)
    hidden = scene.occlusion(1, 0)  # what is at x = 0 at the end was at -6
    assert hidden[:, :6].all()
    assert not hidden[:, 6:].any()


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: type(s).__name__)
def test_a_shape_lies_within_its_reach_and_has_an_edge_of_about_a_pixel(shape: Shape) -> None:
    side = np.arange(-40, 40, 0.25, dtype=np.float32)
    x, y = side[None], side[:, None]
    inside = np.broadcast_to(shape.inside(x, y), (320, 320))
    within = np.hypot(x, y) <= shape.reach
    assert (inside[~within] <= 0).all()
    assert (inside > 0).sum() / 16 > 40  # pixels of area
    rows, columns = np.gradient(inside, 0.25)
    slope = np.hypot(rows, columns)[np.abs(inside) < 0.5]
    assert slope.min() > 0.3
    assert slope.max() < 2.1


def test_an_object_looks_the_same_through_its_window_and_through_the_whole_image() -> None:
    for scene in scenes(4):
        snapshot = scene.at(0.3)
        y, x = np.mgrid[: scene.height, : scene.width].astype(np.float32)
        for layer, to_layer, (rows, columns), opacity in zip(
            scene.layers[1:], snapshot.to_layer[1:], snapshot.windows[1:], snapshot.opacities, strict=True
        ):
            full = layer.opacity(to_layer, x, y).copy()
            np.testing.assert_allclose(full[rows.start : rows.stop, columns.start : columns.stop], opacity, atol=1e-5)
            full[rows.start : rows.stop, columns.start : columns.stop] = 0
            assert not full.any()


def test_an_object_out_of_view_is_not_painted() -> None:
    away = Layer(wave(1), Motion((-50.0, 90.0)), Ellipse((6.0, 6.0)))
    background = Layer(wave(0), Motion((20.0, 16.0)))
    with_it, without = (Scene(layers, 32, 40) for layers in ((background, away), (background,)))
    np.testing.assert_array_equal(with_it.render(0.5), without.render(0.5))
    np.testing.assert_array_equal(with_it.at(0.5).flow(0), without.at(0.5).flow(0))


def data(**options: object) -> Synthetic:
    module = Synthetic(**{"batch_size": 4, "train_samples": 16, "val_samples": 16, **options})  # type: ignore[arg-type]
    module.setup()
    return module


def test_the_mean_of_the_frames_scores_as_calibrated() -> None:
    """31.7 dB +- 0.7 on 64 validation samples: enough motion to matter, little enough to learn in minutes."""
    source = data(val_samples=64).val_source()
    scores = []
    for index in range(64):
        sample = source.sample(index, None)
        mean = (sample["frame0"].astype(float) + sample["frame1"]) / 2
        scores.append(10 * math.log10(255**2 / np.mean((mean - sample["target"]) ** 2)))
    assert abs(np.mean(scores) - 31.7) < 0.7


def test_a_sample_has_the_scene_of_its_random_numbers() -> None:
    source = data(times=[0.25]).train_source()
    sample = source.sample(3, np.random.default_rng((7, 1, 3)))
    scene = SceneStyle().draw(np.random.default_rng((7, 1, 3)))
    for name, time in (("frame0", 0), ("target", 0.25), ("frame1", 1)):
        assert np.abs(sample[name] - scene.render(time) * 255).max() <= 0.501
    np.testing.assert_array_equal(sample["flow"][..., 2:], scene.at(0.25).flow(1))
    assert sample["key"] == "synthetic/scene-000003-t0.250"


def test_held_out_scenes_are_the_same_for_every_seed_and_epoch_and_none_is_trained_on() -> None:
    first, second = data(seed=1), data(seed=2)
    val_split = [[b["target"] for b in m.val_dataloader()] for m in (first, second, first)]
    for other in val_split[1:]:
        assert all(torch.equal(a, b) for a, b in zip(val_split[0], other, strict=True))
    loader = first.train_dataloader()
    epochs = [torch.cat([b["target"] for b in loader]) for _ in range(2)]
    everything = torch.cat([*epochs, *val_split[0]]).flatten(1)
    assert len(torch.unique(everything, dim=0)) == 48


@pytest.mark.parametrize(("times", "expected"), [(0.5, {0.5}), ([0.25, 0.75], {0.25, 0.75}), ([0, 1], {0.0, 1.0})])
def test_times(times: object, expected: set[float]) -> None:
    module = data(times=times)
    seen = {float(t) for batch in module.train_dataloader() for t in batch["time"]}
    assert seen == expected
    assert module.arbitrary_time == (expected != {0.5})


def test_uniform_times_are_uniform() -> None:
    source = data(times="uniform", flow=False, size=16).train_source()
    times = [source.sample(i, np.random.default_rng((0, 0, i)))["time"] for i in range(400)]
    counts = np.histogram(times, bins=4, range=(0, 1))[0]
    assert abs(counts - 100).max() < 4 * math.sqrt(400 * 0.25 * 0.75)  # 4 sigma


def test_a_distance_map_is_how_far_each_layer_has_got() -> None:
    """On straight paths a layer moves rigidly: its map has one value, which its motion gives."""
    options = {"times": "uniform", "nonuniform": 1.0, "curved": False}
    mapped, plain = (data(maps=maps, **options).train_source() for maps in (True, False))
    values = set()
    for index in range(12):
        mapped_sample, plain_sample = (
            source.sample(index, np.random.default_rng((0, 0, index))) for source in (mapped, plain)
        )
        assert all(
            np.array_equal(mapped_sample[name], plain_sample[name]) for name in ("frame0", "target", "frame1", "flow")
        )
        time, scene = (
            plain_sample["time"],
            SceneStyle(nonuniform=1, curved=False).draw(np.random.default_rng((0, 0, index))),
        )
        topmost = scene.at(0).topmost()
        expected = np.empty(topmost.shape)
        for number, layer in enumerate(scene.layers):
            even = 2 * time - 1
            expected[topmost == number] = (1 + even + layer.motion.speedup * (1 - even**2)) / 2
        off = np.abs(mapped_sample["time"] - expected)
        assert mapped_sample["time"].dtype == np.float32
        assert np.median(off) < 1e-5
        assert (off > 1e-3).mean() < 0.01  # about the centre of a turn, which stands still
        values |= {round(float(v), 3) for v in np.unique(expected)}
    assert len(values) > 24  # two layers or more, each with a speed of its own
    batch = next(iter(data(maps=True, **options).train_dataloader()))
    assert batch["time"].shape == (4, 1, 64, 64)


def test_a_distance_map_is_the_time_where_nothing_moves_and_one_sided_on_a_curve() -> None:
    disc = Layer(wave(1), Motion((20.0, 16.0), shift=(5.0, 0.0), speedup=0.5), Ellipse((6.0, 6.0)))
    scene = Scene((Layer(wave(0), Motion((20.0, 16.0))), disc), 32, 40)
    expected = np.where(scene.at(0).topmost() == 1, 0.75, 0.5)
    np.testing.assert_allclose(exact_map(scene, 0.5), expected, atol=1e-6)
    bent = replace(disc, motion=replace(disc.motion, bend=(1.0, 4.0), speedup=0.0))
    scene = Scene((scene.layers[0], bent), 32, 40)
    # Half-way in time the bend has moved it by one pixel of the ten along its way; four across do not count.
    assert exact_map(scene, 0.5)[16, 15] == pytest.approx(0.6, abs=1e-6)


def test_flow_is_given_or_not_and_sizes_are_kept() -> None:
    with_flow = next(iter(data(size=[32, 48]).train_dataloader()))
    assert with_flow["flow"].shape == (4, 4, 32, 48)
    assert with_flow["frame0"].shape == (4, 3, 32, 48)
    without = data(flow=False)
    assert "flow" not in next(iter(without.train_dataloader()))
    assert without.gives_flow is False


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"times": 2}, r'data\.times=2 is not a number from 0 to 1, a list of such numbers, or "uniform"'),
        ({"times": "random"}, r"data\.times=random is not"),
        ({"times": []}, r"data\.times=\[\] is not"),
        ({"nonuniform": 2}, r"data\.nonuniform=2 is not a number from 0 to 1"),
        ({"size": 8}, r"data\.size=8 is not .*pixels a side"),
    ],
)
def test_wrong_options_are_one_sentence(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        data(**options)


def test_a_style_is_a_function_of_the_random_numbers() -> None:
    style = replace(SceneStyle(), height=32, width=32)
    first, second = (style.draw(np.random.default_rng(9)).render(0.4) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, style.draw(np.random.default_rng(10)).render(0.4))
