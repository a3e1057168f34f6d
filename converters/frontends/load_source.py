"""Finds a torch model by what a person types: ``package.module:function`` or the path of a ``.pt2`` file."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from edge_sparse.errors import ConvertError, MissingExtraError

__all__ = ["load_exported", "load_source"]

_WEIGHT_SUFFIXES = frozenset({".pth", ".pt", ".bin", ".ckpt", ".th", ".safetensors", ".npz"})
_FORM = "def model(): return MyNet().eval(), (torch.randn(1, 3, 224, 224),)   # in mymodel.py: mymodel:model"
_PT2 = "torch.export.save(torch.export.export(model.eval(), example_inputs), 'model.pt2')"


def load_source(text: str) -> tuple[Any, Any]:
    """Return the source that a text names, and its example inputs (None for an exported program).

    Parameters
    ----------
    text : str
        ``package.module:function`` or ``path/to/file.py:function``, where the function takes no arguments and returns
        ``(nn.Module, example inputs)``; or the path of a ``.pt2`` file.

    Raises
    ------
    ConvertError
        ``STATE_DICT_GIVEN`` for a file of weights alone, ``SOURCE_NOT_FOUND`` for a missing file or module,
        ``SOURCE_IMPORT_FAILED``, ``SOURCE_FUNCTION_FAILED`` and ``SOURCE_FUNCTION_RESULT`` for what a function does.
    """
    place, colon, function = text.rpartition(":")
    if colon and function.isidentifier():
        return _call(_module(place, text), function, text)
    return load_exported(Path(text)), None


def load_exported(path: Path) -> Any:
    """Load a ``.pt2`` file; files that hold weights alone are refused with an explanation."""
    if path.suffix.lower() in _WEIGHT_SUFFIXES:
        raise ConvertError(
            "STATE_DICT_GIVEN",
            f"{path.name} counts as weights alone: a network is not taken from it, as unpickling may run any code",
            f"write a function that builds the network and loads them, and name it as module:function: {_FORM}",
        )
    if not path.exists():
        raise ConvertError(
            "SOURCE_NOT_FOUND", f"{path} does not exist", f"give a .pt2 file or module:function: {_FORM}"
        )
    if path.suffix.lower() != ".pt2":
        hint = f"name a function in it: {path}:function" if path.suffix == ".py" else f"make one: {_PT2}"
        raise ConvertError("SOURCE_UNSUPPORTED", f"{path.name} is no .pt2 file", hint)
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(
            "EXTRA_MISSING", f"reading {path.name} needs torch", "pip install 'edge_sparse[torch]'"
        ) from error
    try:
        return torch.export.load(str(path))
    except Exception as error:
        raise ConvertError(
            "SOURCE_UNREADABLE", f"torch cannot load {path.name}: {_cause(error)}", f"save it again: {_PT2}"
        ) from error


def _module(place: str, text: str) -> ModuleType:
    if place.endswith(".py"):
        return _module_from_file(Path(place), text)
    # Names are looked up from the current folder, as with ``python -m``.
    sys.path.insert(0, "")
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name and (place == error.name or place.startswith(f"{error.name}.")):
            raise ConvertError(
                "SOURCE_NOT_FOUND",
                f"there is no module {place} ({text})",
                "run in the folder that holds it, or give the file: path/to/mymodel.py:function",
            ) from error
        raise _import_error(place, error) from error
    except (Exception, SystemExit) as error:
        raise _import_error(place, error) from error
    finally:
        sys.path.remove("")


def _module_from_file(path: Path, text: str) -> ModuleType:
    if not path.is_file():
        raise ConvertError("SOURCE_NOT_FOUND", f"{path} does not exist ({text})", "check the path")
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    # Classes of the file must be found by name when the module is copied.
    sys.modules.setdefault(path.stem, module)
    sys.path.insert(0, str(path.parent))
    try:
        specification.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _import_error(str(path), error) from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def _import_error(place: str, error: BaseException) -> ConvertError | MissingExtraError:
    if isinstance(error, ModuleNotFoundError) and error.name:
        hint = (
            "pip install 'edge_sparse[torch]'"
            if error.name == "torch"
            else f"install the package that has {error.name}"
        )
        return MissingExtraError("EXTRA_MISSING", f"{place} needs {error.name}, which is not installed", hint)
    return ConvertError("SOURCE_IMPORT_FAILED", f"importing {place} raises {_cause(error)}", "fix the module first")


def _call(module: ModuleType, function: str, text: str) -> tuple[Any, Any]:
    maker = getattr(module, function, None)
    if not callable(maker):
        raise ConvertError("SOURCE_NOT_FOUND", f"{module.__name__} has no function {function} ({text})", _FORM)
    try:
        result = maker()
    except ModuleNotFoundError as error:
        raise _import_error(text, error) from error
    except (Exception, SystemExit) as error:
        raise ConvertError(
            "SOURCE_FUNCTION_FAILED", f"{text} raises {_cause(error)}", "call it in Python first"
        ) from error
    if not isinstance(result, (tuple, list)) or len(result) != 2 or not hasattr(result[0], "state_dict"):
        found = type(result).__name__
        if isinstance(result, (tuple, list)):
            found = f"{found} of {', '.join(type(part).__name__ for part in result)}"
        raise ConvertError(
            "SOURCE_FUNCTION_RESULT",
            f"{text} returns a {found}, not (nn.Module, example inputs)",
            f"for example {_FORM}",
        )
    return result[0], result[1]


def _cause(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
