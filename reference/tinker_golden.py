"""Writes what the official tinker SDK puts on the wire, and what it reads there, for internal/engine/tinker/wire.

  tinker_golden.py FOLDER

Run it with an SDK of the protobuf dialect (0.25 and later) and with one of the JSON dialect (0.24 and earlier): each writes
the file of its own dialect. `make e2e-tinker` installs both.
"""

import base64
import json
import pathlib
import sys

import numpy as np
import tinker
from tinker import types

PASSES = [
    dict(name="cross_entropy", model="s:train:0", seq=1, loss="cross_entropy", config=None, forward=False, data=[
        dict(tokens=[5, 17, 33, 70, 101, 44, 9],
             inputs=dict(target_tokens=[17, 33, 70, 101, 44, 9, 12], weights=[0, 0, 1, 1, 0.25, 1, -0.5])),
        dict(tokens=[1], inputs=dict(target_tokens=[2], weights=[1e-30]))]),
    dict(name="forward", model="m", seq=2147483647, loss="cross_entropy", config=None, forward=True, data=[
        dict(tokens=[0, 151935], inputs=dict(target_tokens=[151935, 0], weights=[0.1, 3.0e38]))]),
    dict(name="ppo", model="run-ü", seq=7, loss="ppo", config={"clip_low_threshold": 0.8, "clip_high_threshold": 1.2},
         forward=False, data=[dict(tokens=[3, 4], inputs=dict(target_tokens=[4, 5], logprobs=[-0.5, -1.25], advantages=[0.5, -2]))]),
    dict(name="importance_sampling", model="m", seq=300, loss="importance_sampling", config=None, forward=False, data=[
        dict(tokens=[3, 4, 5], inputs=dict(target_tokens=[4, 5, 6], logprobs=[-0.5, -1.25, -9], advantages=[0, 0, 1]))]),
]

RESULTS = [
    dict(name="pass", type="CrossEntropyLossReturn", metrics={"loss:sum": 53.28348255157471, "zero:sum": 0.0},
         outputs=[dict(logprobs=[-7.5, -1e-7, 0.0]), dict(logprobs=[-3.25])]),
    dict(name="empty", type="x", metrics={}, outputs=[]),
]

SAMPLES = [
    dict(name="one", sequences=[dict(stop="length", tokens=[1143, 316], logprobs=[-7.71, -7.66])], prompt=None),
    dict(name="prompt", sequences=[dict(stop="stop", tokens=[7], logprobs=[-0.5]), dict(stop="stop", tokens=[], logprobs=[])],
         prompt=[None, -1.5, -0.125]),
]

DTYPE = dict(target_tokens="int64", weights="float32", logprobs="float32", advantages="float32")


def request(p):
    data = [types.Datum(model_input=types.ModelInput.from_ints(d["tokens"]),
                        loss_fn_inputs={k: types.TensorData(data=v, dtype=DTYPE[k], shape=[len(v)]) for k, v in d["inputs"].items()})
            for d in p["data"]]
    given = types.ForwardBackwardInput(data=data, loss_fn=p["loss"], loss_fn_config=p["config"])
    return given, types.ForwardBackwardRequest(forward_backward_input=given, model_id=p["model"], seq_id=p["seq"])


def rounded(values):
    """What float32 makes of values, as the shortest decimals that give them back."""
    return [None if v is None else float(str(np.float32(v))) for v in values]


def proto():
    from tinker.proto import tinker_public_pb2 as pb
    from tinker.proto import response_conv
    from tinker.proto.request_conv import forward_backward_request_to_proto

    def encode(m):
        return base64.b64encode(m.SerializeToString(deterministic=True)).decode()

    out = dict(passes=[], results=[], samples=[])
    for p in PASSES:
        m = forward_backward_request_to_proto(request(p)[1])
        m.forward_only = p["forward"]
        out["passes"].append(dict(p, bytes=encode(m)))
    for r in RESULTS:
        m = pb.ForwardBackwardOutput(loss_fn_output_type=r["type"], metrics=r["metrics"])
        if r["outputs"]:
            record = m.loss_fn_outputs.add(type_tag=r["type"], num_datums=len(r["outputs"]))
            for name in r["outputs"][0]:
                parts = [np.array(o[name], np.float32).tobytes() for o in r["outputs"]]
                offsets = np.cumsum([0] + [len(b) for b in parts]).astype(np.int64)
                field = record.fields[name]
                field.data, field.offsets, field.dtype = b"".join(parts), offsets.tobytes(), pb.DTYPE_FLOAT32
        got = response_conv.deserialize_forward_backward_output(m.SerializeToString())
        assert [{k: list(t.data) for k, t in o.items()} for o in got.loss_fn_outputs] == [
            {k: np.array(v, np.float32).tolist() for k, v in o.items()} for o in r["outputs"]], got
        out["results"].append(dict(r, bytes=encode(m)))
    for s in SAMPLES:
        m = pb.SampleResponse()
        for q in s["sequences"]:
            stop = pb.STOP_REASON_STOP if q["stop"] == "stop" else pb.STOP_REASON_LENGTH
            added = m.sequences.add(stop_reason=stop, tokens=np.array(q["tokens"], np.int32).tobytes())
            if q["logprobs"]:
                added.logprobs = np.array(q["logprobs"], np.float32).tobytes()
        if s["prompt"]:
            m.prompt_logprobs = np.array([np.nan if v is None else v for v in s["prompt"]], np.float32).tobytes()
        assert [q.stop_reason for q in response_conv.deserialize_sample_response(m.SerializeToString()).sequences] == [
            q["stop"] for q in s["sequences"]]
        out["samples"].append(dict(s, bytes=encode(m)))
    return out


def plain():
    from tinker._compat import model_dump
    from tinker.lib._pydantic_conv import to_pydantic_request
    from tinker.types.forward_request import ForwardRequest

    def encode(m):
        body = model_dump(to_pydantic_request(m), exclude_unset=False, exclude_none=True, mode="json")
        return base64.b64encode(json.dumps(body).encode()).decode()

    out = dict(passes=[])
    for p in PASSES:
        given, r = request(p)
        if p["forward"]:
            r = ForwardRequest(forward_input=given, model_id=p["model"], seq_id=p["seq"])
        out["passes"].append(dict(p, bytes=encode(r)))
    return out


def main():
    version = tuple(int(x) for x in tinker.__version__.split(".")[:2])
    dialect, content = ("proto", proto()) if version >= (0, 25) else ("json", plain())
    for p in content["passes"]:
        for d in p["data"]:
            d["inputs"] = {k: rounded(v) if DTYPE[k] == "float32" else v for k, v in d["inputs"].items()}
    path = pathlib.Path(sys.argv[1]) / f"{dialect}.json"
    lines = [f' {json.dumps(k)}: [\n  ' + ",\n  ".join(json.dumps(x, ensure_ascii=False) for x in v) + "\n ]"
             for k, v in content.items() if k != "sdk"]
    path.write_text('{\n "sdk": "%s",\n%s\n}\n' % (tinker.__version__, ",\n".join(lines)))
    print("wrote", path, "with tinker", tinker.__version__)


main()
