"""What is asked of the imports and the inspector for a unit of a watched folder (pure)."""

from __future__ import annotations

from ...config.watch_settings import WatchSettings
from ...messages.imports import ImportOrder, PlanSource
from .book import WatchedUnit


def order_of(settings: WatchSettings, unit: WatchedUnit) -> ImportOrder:
    """The order that has a unit imported."""
    question = question_of(settings, unit)
    return ImportOrder(
        path=question.path,
        only=question.only,
        depth=question.depth,
        pattern=settings.pattern,
        exclude=settings.exclude,
        mode=settings.mode,
        priority=settings.priority,
        screen=settings.screen,
        project=settings.project,
        dataset=settings.dataset,
        group=settings.group,
        tags=settings.tags,
        mail=settings.mail,
        forced=unit.forced,
        delete_source=settings.delete_source,
    )


def question_of(settings: WatchSettings, unit: WatchedUnit) -> PlanSource:
    """What an import of the unit would take now."""
    if unit.is_folder or len(unit.names) == 1:
        name = unit.unit.removesuffix("/") if unit.is_folder else unit.names[0]
        path = f"{settings.path.rstrip('/')}/{name}"
        return PlanSource(path=path, pattern=settings.pattern, exclude=settings.exclude)
    return loose_question(settings, unit.names)


def loose_question(settings: WatchSettings, names: tuple[str, ...]) -> PlanSource:
    """How loose files belong together."""
    return PlanSource(path=settings.path, depth=1, only=names, pattern=settings.pattern, exclude=settings.exclude)
