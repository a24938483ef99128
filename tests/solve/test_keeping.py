"""Programs and meshes kept between processes: found again, equal, and never trusted when broken."""

import jax
import numpy as np
import pytest

from ketjax.solve import System, keeping

TIMES = (0.0, 0.5, 2.0)


@pytest.fixture
def folder(tmp_path):
    before = keeping.folder()
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    yield tmp_path
    jax.config.update("jax_compilation_cache_dir", before and str(before))


class Decay:
    """Exponential decay that counts how often it is traced."""

    def __init__(self, identity: str, rtol: float = 1e-5):
        """Nothing is compiled yet."""
        self.traced = 0
        start, rate = self.given()
        self.system = System(self.rhs, start, rate, rtol=rtol, atol=1e-7, identity=identity)
        self.traced = 0

    @staticmethod
    def given():
        """Start and rates [1/h]."""
        return (np.ones(64, np.float32),), np.linspace(0.1, 5.0, 64, dtype=np.float32)

    def rhs(self, t, y, rate):
        """Decay."""
        self.traced += 1
        return (-rate * y[0],)

    def solve(self) -> np.ndarray:
        """Courses (time, patient)."""
        start, rate = self.given()
        mesh = self.system.make_mesh(start, rate, TIMES)
        return np.asarray(self.system.march(mesh, start, rate).readouts[0])


def kept(folder) -> list:
    return sorted(folder.glob("*-kept"))


def test_second_system_is_not_traced_and_gives_the_same_bits(folder):
    first, second = Decay("decay"), Decay("decay")
    expected = first.solve()
    assert first.traced > 0
    assert len(kept(folder)) == 3  # constants, steps, mesh
    assert np.array_equal(second.solve(), expected)
    assert second.traced == 0
    np.testing.assert_allclose(expected[-1], np.exp(-2.0 * Decay.given()[1]), atol=1e-5)


@pytest.mark.parametrize("identity, rtol", [("another", 1e-5), ("decay", 1e-4), ("", 1e-5)])
def test_other_system_does_not_take_it(folder, identity, rtol):
    Decay("decay").solve()
    other = Decay(identity, rtol)
    other.solve()
    assert other.traced > 0


@pytest.mark.parametrize("damage", [b"", b"short", None])
def test_broken_entries_are_made_again(folder, damage):
    expected = Decay("decay").solve()
    for file in kept(folder):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(bytes(content) if damage is None else damage)
    again = Decay("decay")
    assert np.array_equal(again.solve(), expected)
    assert again.traced > 0
    after = Decay("decay")
    after.solve()
    assert after.traced == 0


def test_entry_with_a_right_checksum_and_wrong_content_is_made_again(folder):
    expected = Decay("decay").solve()
    for file in kept(folder):
        keeping.write(file.name.removesuffix(keeping.ENDING), b"no program")
    assert np.array_equal(Decay("decay").solve(), expected)


def test_digest_tells_its_parts_apart():
    array = np.arange(3.0)
    names = [
        keeping.digest("a", "b"),
        keeping.digest("ab"),
        keeping.digest("a", array),
        keeping.digest("a", array.astype(np.float32)),
        keeping.digest("a", array.reshape(1, 3)),
    ]
    assert len(set(names)) == len(names)


def test_nothing_is_kept_without_a_folder(folder):
    jax.config.update("jax_compilation_cache_dir", None)
    Decay("decay").solve()
    assert keeping.read("x") is None
    assert not kept(folder)


def test_folder_that_takes_nothing_costs_nothing_else(folder, monkeypatch):
    monkeypatch.setattr(keeping, "folder", lambda: folder / "missing")
    assert np.isfinite(Decay("decay").solve()).all()
