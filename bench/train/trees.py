"""Trees of scikit-learn as arrays: they are compiled, and save themselves by pickle alone.

What comes from a file is checked before compiled code reads it: an index that leads outside would read
memory that is not the tree's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, Any]


def tree_parts(tree: Any) -> Arrays:
    """Return a decision tree's numbers and arrays (``sklearn.tree._tree.Tree``)."""
    state = tree.__getstate__()
    nodes = state["nodes"]
    fields = {f"node {name}": np.ascontiguousarray(nodes[name]) for name in nodes.dtype.names}
    (features, classes, outputs) = tree.__reduce__()[1]
    sizes = {"features": int(features), "outputs": int(outputs), "max_depth": int(state["max_depth"])}
    return sizes | {"classes": np.asarray(classes), "values": state["values"]} | fields


def tree_of(parts: Mapping[str, Any]) -> Any:
    """Return the decision tree of such parts.

    Raises
    ------
    ValueError
        They are no tree of the installed scikit-learn.
    """
    from sklearn.tree._tree import Tree

    classes = np.ascontiguousarray(parts["classes"], np.intp)
    features, outputs = int(parts["features"]), int(parts["outputs"])
    if classes.shape != (outputs,) or not 0 < outputs < 10_000 or not 0 < classes.max() < 10_000:
        raise ValueError(f"a tree of {outputs} outputs has classes {classes.tolist()[:5]}")
    made = Tree(features, classes, outputs)
    kind = made.__getstate__()["nodes"].dtype
    given = {name.removeprefix("node "): each for name, each in parts.items() if name.startswith("node ")}
    if set(given) != set(kind.names):
        raise ValueError("a tree's nodes are those of another scikit-learn")
    n = len(given["left_child"])
    nodes = np.zeros(n, kind)
    for name, values in given.items():
        if values.shape != (n,) or values.dtype != kind[name]:
            raise ValueError(f"a tree's {name} is {values.dtype} of shape {values.shape}")
        nodes[name] = values
    _check(nodes, features)
    values = np.ascontiguousarray(parts["values"], np.float64)
    if values.shape != (n, outputs, int(classes.max())):
        raise ValueError(f"a tree of {n} nodes has values of shape {values.shape}")
    state = {"max_depth": int(parts["max_depth"]), "node_count": n, "nodes": nodes, "values": values}
    made.__setstate__(state)
    return made


def _check(nodes: NDArray[Any], features: int) -> None:
    """Check that every way down from the root ends at a leaf, and that only known features are asked."""
    at, left, right = np.arange(len(nodes)), nodes["left_child"], nodes["right_child"]
    leaf = left == -1
    inside = (left > at) & (right > at) & (np.maximum(left, right) < len(nodes))
    known = (nodes["feature"] >= 0) & (nodes["feature"] < features)
    if not len(nodes) or not (leaf | (inside & known)).all():
        raise ValueError("a tree's nodes lead nowhere")


def kd_tree_parts(tree: Any) -> Arrays | None:
    """Return what a k-d tree is built from; None if its distance is another than Euclid's."""
    state = tree.__getstate__()
    if type(state[11]).__name__ != "EuclideanDistance64" or state[12] is not None:
        return None
    return {"data": np.asarray(state[0]), "leaf_size": int(state[4])}


def kd_tree_of(parts: Mapping[str, Any]) -> Any:
    """Return the k-d tree of its data: built anew, so that no index of it comes from a file."""
    from sklearn.neighbors import KDTree

    data = np.ascontiguousarray(parts["data"], np.float64)
    if data.ndim != 2 or not len(data) or not np.isfinite(data).all():
        raise ValueError(f"a k-d tree's data has shape {data.shape}")
    return KDTree(data, leaf_size=int(parts["leaf_size"]))


def check_machine(name: str, state: Mapping[str, Any]) -> None:
    """Check what libsvm reads of a support vector machine without checking it itself.

    Raises
    ------
    ValueError
        Its arrays do not fit each other.
    """
    if not name.startswith("sklearn.svm.") or "support_vectors_" not in state:
        return
    vectors, counts, weights = state["support_vectors_"], state["_n_support"], state["_dual_coef_"]
    # A machine without classes counts its vectors twice.
    n = int(np.sum(counts) if name.endswith("SVC") else counts[0])
    if min(counts) < 0 or len(vectors) != n or weights.shape[1] != n or len(state["support_"]) != n:
        raise ValueError(f"a machine of {n} support vectors has {len(vectors)}")
