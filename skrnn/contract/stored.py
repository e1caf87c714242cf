"""What is stored of a forecaster in a file, and a forecaster made from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from skrnn.contract.parameters import ARCHITECTURE, plain, tuple_of
from skrnn.contract.private_names import DtypeKind
from skrnn.distributions import distribution_of
from skrnn.features.features import Features
from skrnn.files.container import UNREADABLE, InvalidFileError
from skrnn.files.encoding import CannotSaveError, CodeNeededError, Decoder, Encoder
from skrnn.files.limits import MemoryLimit
from skrnn.forecasting.ensemble import AnyModel, Ensemble, ensemble_of
from skrnn.forecasting.fitted import Fitted
from skrnn.forecasting.local import LocalFitted
from skrnn.forecasting.model import Model
from skrnn.naive import NAIVE_FORECASTS
from skrnn.network.cells import CELLS
from skrnn.network.devices import resolve_device
from skrnn.network.network import RecurrentNetwork
from skrnn.network.randomness import RandomStreams, drawing_from

# The entry of an ensemble that holds its models.
MEMBERS = "members"
# The attribute that holds what was fitted.
FITTED = "fitted_"
# How much of the data a file holds.
HISTORIES = ("context", "all", "none")
# Attributes of sktime's that hold the data a second time, with its option remember_data.
REMEMBERED = ("_y", "_X")
# Its description of y, in which the kinds of columns are members of an enumeration.
METADATA, KINDS = "_y_metadata", "feature_kind"
# What a file without data leaves out, and the state of a forecaster that is only pretrained.
OF_SERIES = ("fitted_", "history_", "num_epochs_", "_cutoff", "_fh", "_y_metadata", *REMEMBERED)
PRETRAINED = {"_state": "pretrained", "_pretrained_attrs": ["pretrained_model_"]}


def described(forecaster: Any, history: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What a file holds of a forecaster: a description in JSON, and arrays.

    Raises
    ------
    CannotSaveError
        If the data have an index that a file cannot hold.
    """
    encode = Encoder()
    parameters, code = {}, {}
    for name, value in forecaster.get_params(deep=False).items():
        try:
            parameters[name] = encode(value, f"parameters.{name}")
        except CannotSaveError:
            code[name] = code_name(value)
    attributes = {
        name: value
        for name, value in _kept(forecaster, history).items()
        if name not in parameters and name not in code
    }
    state: dict[str, Any] = {}
    for name, value in attributes.items():
        if isinstance(value, Fitted):
            state[name] = {"Fitted": _fitted(encode, value, code, FITTED)}
        elif isinstance(value, LocalFitted):
            parts = enumerate(value.parts)
            state[name] = {"LocalFitted": [_fitted(encode, p, code, _part(i)) for i, p in parts]}
        elif isinstance(value, (Model, Ensemble)):
            state[name] = {"Model": _models(encode, value, name, code)}
        else:
            state[name] = encode(_with_names(value) if name == METADATA else value, name)
    name = type(forecaster).__name__
    description = {"class": name, "parameters": parameters, "code": code, "state": state}
    return description, encode.arrays


def _kept(forecaster: Any, history: str) -> dict[str, Any]:
    """The attributes of a forecaster, with so much of its data."""
    attributes = dict(vars(forecaster))
    fitted = attributes.get("fitted_")
    if history == "all":
        if isinstance(fitted, Fitted):
            panel = fitted.panel.in_memory()
            attributes["fitted_"] = dataclasses.replace(fitted, panel=panel)
        return attributes
    if history == "none":
        if fitted is not None:
            attributes |= PRETRAINED | {"pretrained_model_": fitted.model.without_series()}
        return {name: value for name, value in attributes.items() if name not in OF_SERIES}
    if fitted is not None:
        attributes["fitted_"] = fitted.with_context_alone()
    return {name: value for name, value in attributes.items() if name not in REMEMBERED}


def _with_names(metadata: Any) -> Any:
    """sktime's description of y with the names of the kinds of columns."""
    if not isinstance(metadata, dict) or KINDS not in metadata:
        return metadata
    return metadata | {KINDS: [kind.name for kind in metadata[KINDS]]}


def code_name(value: Any) -> str:
    """The name of an object that is code, for messages."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(code_name, value))
    if isinstance(value, str):
        return repr(value)
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


def _part(number: int) -> str:
    """Where the fitted state of one of many series is in a file."""
    return f"{FITTED}.{number}"


def _fitted(encode: Encoder, fitted: Fitted, code: Mapping[str, str], path: str) -> dict[str, Any]:
    fields = {f.name: getattr(fitted, f.name) for f in dataclasses.fields(fitted)}
    model, early = fields.pop("model"), fields.pop("early")
    result = {name: encode(value, f"{path}.{name}") for name, value in fields.items()}
    result["model"] = _models(encode, model, f"{path}.model", code)
    if early is not model:
        result["early"] = _models(encode, early, f"{path}.early", code)
    return result


def _models(encode: Encoder, model: AnyModel, path: str, code: Mapping[str, str]) -> dict[str, Any]:
    """A model, or the members of an ensemble, each with its number in its path."""
    if isinstance(model, Model):
        return _model(encode, model, path, code)
    numbered = enumerate(model.members)
    return {MEMBERS: [_model(encode, member, f"{path}.{m}", code) for m, member in numbered]}


def _model(encode: Encoder, model: Model, path: str, code: Mapping[str, str]) -> dict[str, Any]:
    fields = {f.name: getattr(model, f.name) for f in dataclasses.fields(model)}
    network, architecture = fields.pop("network"), fields.pop("architecture")
    result = {name: encode(value, f"{path}.{name}") for name, value in fields.items()}
    result["architecture"] = {
        name: encode(value, f"{path}.{name}")
        for name, value in architecture.items()
        if name not in code
    }
    features = network.features
    parts = {f.name: getattr(features, f.name) for f in dataclasses.fields(features)}
    parts["naive"] = tuple(
        kind.name if kind in NAIVE_FORECASTS.values() else {"code": code_name(kind)}
        for kind in parts["naive"]
    )
    result["features"] = {
        name: encode(value, f"{path}.features.{name}") for name, value in parts.items()
    }
    for name, tensor in network.state_dict().items():
        encode(tensor, f"{path}.network.{name}")
    return result


# ---------------------------------------------------------------------------- the way back


def restored(
    classes: Mapping[str, type],
    description: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    device: str | torch.device,
    given: Mapping[str, Any],
) -> Any:
    """The forecaster of a file; ``given`` are the parameters that are code."""
    code = description.get("code")
    if not isinstance(code, dict):
        raise InvalidFileError("The file is damaged: it does not say what was code.")
    lacking = [name for name in code if name not in given]
    if lacking:
        msg = (
            f"A file holds no code, so load must be given the parameters that were code when the "
            f"forecaster was saved: {', '.join(f'{name} ({code[name]})' for name in lacking)}. "
            f"Pass them, as in skrnn.load(path, {lacking[0]}=...)."
        )
        raise CodeNeededError(msg)
    unknown = [name for name in given if name not in code]
    if unknown:
        msg = (
            f"load takes the parameters that were code when the forecaster was saved, "
            f"{list(code)}, but got {unknown}. Set others with `set_params` before fit."
        )
        raise TypeError(msg)
    target = resolve_device(device)
    try:
        cls = classes[description["class"]]
        return _decoded(cls, description, Decoder(arrays), target, {**given, "device": device})
    except InvalidFileError:
        raise
    except UNREADABLE as error:
        msg = (
            f"The file must describe a forecaster, but its content does not "
            f"({type(error).__name__}: {str(error)[:100]}). Save the forecaster again."
        )
        raise InvalidFileError(msg) from error


def _decoded(
    cls: type,
    description: Mapping[str, Any],
    decode: Decoder,
    target: torch.device,
    given: dict[str, Any],
) -> Any:
    parameters = {name: decode(part) for name, part in description["parameters"].items()}
    forecaster = cls(**parameters | given)
    attributes: dict[str, Any] = forecaster.__dict__
    for name, part in description["state"].items():
        if isinstance(part, dict) and "Fitted" in part:
            attributes[name] = _decoded_fitted(decode, part["Fitted"], FITTED, forecaster, target)
        elif isinstance(part, dict) and "LocalFitted" in part:
            attributes[name] = _decoded_local(decode, part["LocalFitted"], forecaster, target)
        elif isinstance(part, dict) and "Model" in part:
            attributes[name] = _decoded_models(decode, part["Model"], name, forecaster, target)
        else:
            attributes[name] = decode(part)
    metadata = attributes.get(METADATA)
    if isinstance(metadata, dict) and KINDS in metadata:
        attributes[METADATA] = metadata | {KINDS: [DtypeKind[kind] for kind in metadata[KINDS]]}
    return forecaster


def _decoded_local(
    decode: Decoder, contents: Sequence[Mapping[str, Any]], forecaster: Any, device: torch.device
) -> LocalFitted:
    # A model looks through all arrays that its decoder has: each part gets its own.
    arrays: list[dict[str, np.ndarray]] = [{} for _ in contents]
    for name, array in decode.arrays.items():
        first, _, rest = name.partition(".")
        number = rest.partition(".")[0]
        if first == FITTED and number.isdecimal() and int(number) < len(arrays):
            arrays[int(number)][name] = array
    parts = [
        _decoded_fitted(Decoder(own), content, _part(i), forecaster, device)
        for i, (own, content) in enumerate(zip(arrays, contents, strict=True))
    ]
    if not parts or any(part.panel.n_series != 1 or part.panel.keys is None for part in parts):
        raise InvalidFileError("The file is damaged: it lacks the names of series.")
    return LocalFitted(tuple(parts))


def _decoded_fitted(
    decode: Decoder, content: Mapping[str, Any], path: str, forecaster: Any, device: torch.device
) -> Fitted:
    content = dict(content)
    models = {
        name: _decoded_models(decode, content.pop(name), f"{path}.{name}", forecaster, device)
        for name in ("model", "early")
        if name in content
    }
    fields = decode.fields(content)
    fitted = Fitted(model=models["model"], early=models.get("early", models["model"]), **fields)
    if len(fitted.model.members) != len(fitted.early.members):
        raise InvalidFileError("The file is damaged: it lacks networks.")
    _check(fitted)
    return fitted


def _decoded_models(
    decode: Decoder,
    content: Mapping[str, Any],
    path: str,
    forecaster: Any,
    device: torch.device,
) -> AnyModel:
    """A model, or an ensemble, whose members must read and forecast the same."""
    if MEMBERS not in content:
        return _decoded_model(decode, content, path, forecaster, device)
    members = [
        _decoded_model(decode, member, f"{path}.{m}", forecaster, device)
        for m, member in enumerate(content[MEMBERS])
    ]
    first = members[0]
    for member in members:
        alike = (member.features, str(member.timeline), member.architecture) == (
            first.features,
            str(first.timeline),
            first.architecture,
        )
        if not alike or not member.columns.equals(first.columns):
            raise InvalidFileError("The file is damaged: its networks do not belong together.")
    return ensemble_of(members)


def _decoded_model(
    decode: Decoder,
    content: Mapping[str, Any],
    path: str,
    forecaster: Any,
    device: torch.device,
) -> Model:
    content = dict(content)
    features, architecture = content.pop("features"), content.pop("architecture")
    features = decode.fields(features)
    own = {code_name(kind): kind for kind in tuple_of(forecaster.naive, auto=()) if kind != "auto"}
    features["naive"] = tuple(
        NAIVE_FORECASTS[kind] if isinstance(kind, str) else own[kind["code"]]
        for kind in features["naive"]
    )
    # Parameters that are code stand in the forecaster, which was given them.
    code = {name: getattr(forecaster, name) for name in _names_of_code(forecaster, architecture)}
    architecture = decode.fields(architecture)
    built = architecture | code
    prefix = f"{path}.network."
    weights = {
        name.removeprefix(prefix): torch.from_numpy(array.copy())
        for name, array in decode.arrays.items()
        if name.startswith(prefix)
    }
    network = _network(Features(**features), built, weights, forecaster)
    ordered = {name: plain(built[name]) for name in built}
    fields = decode.fields(content)
    return Model(network=network.to(device), architecture=ordered, **fields)


def _names_of_code(forecaster: Any, architecture: Mapping[str, Any]) -> list[str]:
    """Names of the architecture's parameters that a file does not hold."""
    params = forecaster.get_params(deep=False)
    return [name for name in ARCHITECTURE if name in params and name not in architecture]


def _network(
    features: Features,
    architecture: Mapping[str, Any],
    weights: Mapping[str, torch.Tensor],
    forecaster: Any,
) -> RecurrentNetwork:
    """The network with its weights."""
    cell = architecture.get("cell", forecaster._cell())
    hidden_size, num_layers = architecture["hidden_size"], architecture["num_layers"]
    if isinstance(cell, str):
        # Compared before a network is made: how much memory that takes depends on them.
        widths = [weights[f"embeddings.{k}.weight"].shape[1] for k in range(len(features.sizes))]
        of_input = weights["recurrent.layers.0.weight_ih_l0"].shape[1]
        of_state = [
            weights[f"recurrent.layers.{k}.weight_hh_l0"].shape[1]
            for k in range(min(num_layers, len(weights)))
        ]
        is_right = of_input == features.n_inputs + sum(widths)
        if not is_right or of_state != [hidden_size] * num_layers:
            raise InvalidFileError("The file is damaged: its weights are of another network.")
    # The weights drawn here are replaced; the caller's random numbers stay as they are.
    n_weights = sum(tensor.numel() for tensor in weights.values())
    with MemoryLimit(n_weights), drawing_from(RandomStreams(0).weights):
        network = RecurrentNetwork(
            features,
            distribution_of(architecture["criterion"], architecture["quantiles"]),
            CELLS[cell] if isinstance(cell, str) else cell,
            hidden_size,
            num_layers,
            forecaster.dropout,
        )
    network.load_state_dict(weights)
    return network.float().eval()


def _check(fitted: Fitted) -> None:
    """Raise InvalidFileError unless the arrays of a fitted state belong together."""
    panel, model, held_out = fitted.panel, fitted.model, fitted.held_out
    (n, n_values), n_series, n_columns = panel.values.shape, len(panel.origin), len(model.columns)
    offsets, shift = panel.offsets, model.level_shift
    n_known = len(panel.covariates.known)
    expected: list[tuple[Any, type, tuple[int, ...]]] = [
        (panel.values, np.float64, (n, n_values)),
        (panel.known, np.float64, (n, n_known)),
        (panel.observed, np.bool_, (n, n_values)),
        (offsets, np.int64, (n_series + 1,)),
        (panel.origin, np.int64, (n_series,)),
        (held_out.first, np.int64, (n_series,)),
        (held_out.stop, np.int64, (n_series,)),
        (None if shift is None else shift.since, np.int64, (n_series, n_columns)),
        (None if shift is None else shift.size, np.float64, (n_series, n_columns)),
        (fitted.began, np.int64, (n_series,)),
        (fitted.least_dropped, np.float64, (n_series, n_columns)),
    ]
    of_known = 1, int(panel.covariates.numbers.sum())
    for each in (*model.members, *fitted.early.members):
        features = each.features
        of_mix = len(features.horizons), features.n_outputs, features.n_mixed
        expected.append((each.initial_weights, np.float32, of_mix))
        for scaler, shape in ((each.scaler, (n_series, n_values)), (each.known_scaler, of_known)):
            expected += [(scaler.center_, np.float64, shape), (scaler.scale_, np.float64, shape)]  # type: ignore[union-attr]
    fits = (
        all(array is None or (array.dtype, array.shape) == (d, s) for array, d, s in expected)
        and len(panel.timeline.start) == len(model.timeline.start) == 1
        and len(panel.columns) == n_columns
        and (panel.keys is None or len(panel.keys) == n_series)
        and n_values == n_columns + len(panel.covariates.past)
        and (offsets[0], offsets[-1]) == (0, n)
        and bool((np.diff(offsets) > 0).all())
    )
    if not fits:
        raise InvalidFileError("The file is damaged: its data do not belong together.")
