import contextlib
import random
from hashlib import sha256

import pytest

from guarded_sora.audit import tree
from guarded_sora.audit.verifier import CheckFailed, SignedTree, check_consistency, climb


def naive(leaves: list[bytes]) -> bytes:
    """RFC 6962's definition, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + naive(leaves[:split]) + naive(leaves[split:])).digest()


def leaves_of(count: int) -> list[bytes]:
    return [tree.leaf_hash(b"%d" % number) for number in range(count)]


def reader(leaves: list[bytes]) -> tree.NodeReader:
    return lambda height, index: naive(leaves[index << height : (index + 1) << height])


def test_known_roots():
    assert tree.EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert tree.leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


def test_frontier_gives_the_root_of_every_size():
    leaves = leaves_of(300)
    frontier = tree.Frontier()
    for size, leaf in enumerate(leaves):
        assert frontier.root() == naive(leaves[:size])
        again = tree.Frontier.from_bytes(frontier.size, frontier.to_bytes())
        assert again.root() == frontier.root()
        frontier.push(leaf)


def test_frontier_closes_tiles_upwards():
    frontier, closed = tree.Frontier(), []
    for number in range(256 * 256 + 1):
        frontier.push(tree.leaf_hash(b"%d" % (number % 7)), closed)
    assert [(tile.level, tile.idx) for tile in closed[-2:]] == [(0, 255), (1, 0)]
    assert len(closed) == 257
    assert frontier.hashes[0] == closed[-1].root


@pytest.mark.parametrize("start", [0, 1, 255, 256, 700])
def test_many_leaves_at_once_are_the_same_as_one_by_one(start):
    one, many = tree.Frontier(), tree.Frontier()
    closed_one, closed_many = [], []
    leaves = leaves_of(66_000 if start == 0 else start + 600)
    for leaf in leaves:
        one.push(leaf, closed_one)
    many.extend(leaves[:start], closed_many)
    many.extend(leaves[start:], closed_many)
    assert (many.size, many.hashes, closed_many) == (one.size, one.hashes, closed_one)


def test_frontier_refuses_what_does_not_fit():
    with pytest.raises(ValueError):
        tree.Frontier.from_bytes(3, bytes(32))
    with pytest.raises(ValueError):
        tree.Frontier.from_bytes(1, bytes(31))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 13, 64, 100])
def test_every_leaf_is_provable(size):
    leaves = leaves_of(size)
    root, node = naive(leaves), reader(leaves)
    assert tree.tree_root(size, node) == root
    for index in range(size):
        path = tree.inclusion_path(index, size, node)
        assert climb(index, size, leaves[index], path) == root
        other = (index + 1) % size
        if other != index:
            # A wrong place either leads to another root or does not fit the path's length.
            with contextlib.suppress(CheckFailed):
                assert climb(other, size, leaves[index], path) != root


def test_every_pair_of_sizes_is_consistent():
    leaves = leaves_of(40)
    for new in range(41):
        for old in range(new + 1):
            path = tree.consistency_path(old, new, reader(leaves[:new]))
            first = SignedTree("log", old, naive(leaves[:old]))
            second = SignedTree("log", new, naive(leaves[:new]))
            check_consistency(first, second, path)
            if old > 0:
                with pytest.raises(CheckFailed):
                    check_consistency(SignedTree("log", old, bytes(32)), second, path)
            if 0 < old < new:
                with pytest.raises(CheckFailed):
                    check_consistency(first, second, path[:-1])
                with pytest.raises(CheckFailed):
                    check_consistency(first, second, (*path, bytes(32)))


def test_a_shrunken_or_foreign_tree_is_not_consistent():
    root = naive(leaves_of(2))
    with pytest.raises(CheckFailed):
        check_consistency(SignedTree("log", 2, root), SignedTree("log", 1, leaves_of(1)[0]), ())
    with pytest.raises(CheckFailed):
        check_consistency(SignedTree("log", 2, root), SignedTree("other", 2, root), ())


def test_nodes_of_a_tile():
    leaves = leaves_of(256)
    nodes = tree.tile_nodes(b"".join(leaves))
    assert len(nodes) == 511 * tree.HASH
    for height in range(9):
        index = random.Random(height).randrange(256 >> height)
        assert tree.node_of_tile(nodes, 256, height, index) == reader(leaves)(height, index)
    part = tree.tile_nodes(b"".join(leaves[:13]))
    assert tree.node_of_tile(part, 13, 2, 2) == reader(leaves)(2, 2)
    with pytest.raises(ValueError):
        tree.node_of_tile(part, 13, 2, 3)


def test_out_of_range_is_refused():
    with pytest.raises(ValueError):
        tree.inclusion_path(3, 3, reader(leaves_of(3)))
    with pytest.raises(ValueError):
        tree.consistency_path(4, 3, reader(leaves_of(3)))


@pytest.mark.parametrize(
    ("level", "idx", "width", "path"),
    [
        (0, 1234067, 256, "tile/0/x001/x234/067"),
        (1, 0, 17, "tile/1/000.p/17"),
        ("entries", 999, 256, "tile/entries/999"),
        ("entries", 1000, 3, "tile/entries/x001/000.p/3"),
    ],
)
def test_tile_paths(level, idx, width, path):
    assert tree.tile_path(level, idx, width) == path
