"""GPTCache with SQLite and faiss, its default evaluation (the search's distance) and given embeddings."""

from __future__ import annotations

from typing import Any

from vectors import KINDS, Known, kinds


def served(pairs: list[tuple[str, str]], folder: Any) -> list[dict[str, Any]]:
    return [one_kind(pairs, kind, Known(folder, kind)) for kind in kinds(folder)]


def one_kind(pairs: list[tuple[str, str]], kind: str, known: Known) -> dict[str, Any]:
    """Return what is served with its default threshold, and its score of each pair: the threshold at which it is just served."""
    import tempfile
    from pathlib import Path

    import faiss
    from gptcache import Cache, Config
    from gptcache.adapter.api import get, put
    from gptcache.manager import CacheBase, VectorBase, get_data_manager
    from gptcache.processor.pre import get_prompt
    from gptcache.similarity_evaluation.distance import SearchDistanceEvaluation

    class Told(SearchDistanceEvaluation):
        """The same, and it keeps what it said last."""

        def evaluation(self, *args: Any, **kwargs: Any) -> float:
            self.last = float(super().evaluation(*args, **kwargs))
            return self.last

    faiss.omp_set_num_threads(1)
    hits, scores, told, cache = [], [], Told(), Cache()
    with tempfile.TemporaryDirectory() as place:
        index = VectorBase("faiss", dimension=known.dimension, index_path=str(Path(place) / "faiss.index"))
        manager = get_data_manager(
            CacheBase("sqlite", sql_url=f"sqlite:///file:{KINDS[kind]}?mode=memory&cache=shared&uri=true"), index
        )
        cache.init(
            pre_embedding_func=get_prompt,
            embedding_func=known,
            data_manager=manager,
            similarity_evaluation=told,
            config=Config(disable_report=True),
        )
        for number, (a, b) in enumerate(pairs, 1):
            put(a, "The answer.", cache_obj=cache)
            hits.append(get(b, cache_obj=cache) is not None)
            scores.append(told.last / told.range()[1])
            # Each pair is alone in the index: what is found is the other one of the pair.
            index.delete([number])
            assert index.count() == 0
    said = f"similarity {Config().similarity_threshold:g}"
    return {"label": kind, "served": hits, "scores": scores, "said": said}
