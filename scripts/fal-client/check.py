"""What the official client for Python does with a running server. Arguments: the URL of the server, a file of cases, the folder of the project."""
import asyncio, inspect, json, os, sys, tempfile, time, urllib.request

import fal_client
from fal_client import client

server, cases_file, project = sys.argv[1:]
client.RUN_URL_FORMAT, client.QUEUE_URL_FORMAT = server + "/run/", server + "/queue/"
client.REST_URL = client.CDN_URL = server
app = "fal-ai/ltx23-trainer-v2/a2a"
demo = os.path.join(project, "fixtures", "demo", "pairs.zip")
tiny = {"audio_duration_seconds": 1, "rank": "8", "backend": "wasm", "preview_interval": 0}

with open(cases_file) as file:
    refusals = json.load(file)


def download(file):
    with urllib.request.urlopen(file["url"]) as response:
        content = response.read()
    assert len(content) == file["file_size"], file
    return content


def check_lora(content):
    size = int.from_bytes(content[:8], "little")
    tensors = json.loads(content[8 : 8 + size])
    tensors.pop("__metadata__", None)
    assert tensors and max(one["data_offsets"][1] for one in tensors.values()) == len(content) - 8 - size


async def value(result):
    """Of the synchronous client it is there already."""
    return await result if inspect.isawaitable(result) else result


async def listed(events):
    if hasattr(events, "__aiter__"):
        return [event async for event in events]
    return list(events)


async def upload(fal):
    content = b"sound"
    url = await value(fal.upload(content, "audio/wav", "a.wav", repository="fal"))
    assert urllib.request.urlopen(url).read() == content
    with tempfile.TemporaryDirectory() as folder:  # larger than what is sent as one part
        path = os.path.join(folder, "large.bin")
        with open(path, "wb") as file:
            for i in range(101):
                file.write(bytes([i]) * 2**20)
        url = await value(fal.upload_file(path))
        with open(path, "rb") as file, urllib.request.urlopen(url) as response:
            while chunk := file.read(2**20):
                assert response.read(2**20) == chunk
            assert response.read() == b""


async def train(fal):
    url = await value(fal.upload_file(demo))
    updates = []
    arguments = {**tiny, "training_data_url": url, "number_of_steps": 2, "debug_dataset": True}
    result = await value(
        fal.subscribe(app, arguments=arguments, with_logs=True, on_queue_update=updates.append)
    )
    assert isinstance(updates[-1], fal_client.Completed), updates
    assert any("Training" in line["message"] for line in updates[-1].logs), updates[-1].logs
    check_lora(download(result["lora_file"]))
    assert json.loads(download(result["config_file"]))["parameters"]["number_of_steps"] == 2
    assert download(result["debug_dataset"])[:2] == b"PK"
    return url


async def cancel(fal, url):
    arguments = {**tiny, "training_data_url": url, "number_of_steps": 20000}
    handle = await value(fal.submit(app, arguments, priority="low", start_timeout=600))
    while not isinstance(await value(handle.status()), fal_client.InProgress):
        time.sleep(0.1)
    await value(handle.cancel())
    events = await listed(handle.iter_events(with_logs=True))
    assert isinstance(events[-1], fal_client.Completed) and events[-1].error_type == "client_cancelled", events[-1]
    error = await failure(handle.get)
    assert (error.status_code, error.error_type) == (499, "client_cancelled"), error


async def failure(work):
    try:
        await value(work() if callable(work) else work)
    except fal_client.FalClientHTTPError as error:
        return error
    raise AssertionError("it succeeded")


async def submit(fal, arguments, webhook):
    """Again after the time that the server asks for, where requests come faster than it takes them."""
    while True:
        try:
            return await value(fal.submit(app, arguments, webhook_url=webhook))
        except fal_client.FalClientHTTPError as error:
            if error.status_code != 503 or error.error_type != "rate_limited":
                raise
            time.sleep(float(error.response_headers["retry-after"]))


async def refused(fal):
    for kind, case in refusals.items():
        url = await value(fal.upload_file(os.path.join(project, "fixtures", "zips", case.get("pairs", "valid/ten-pairs.zip"))))
        arguments = json.loads(json.dumps(case["input"]).replace('"{pairs}"', json.dumps(url)))

        async def request():
            handle = await submit(fal, arguments, case.get("webhook"))
            assert case.get("isLate"), f"{kind} was accepted"
            await value(handle.get())

        error = await failure(request)
        assert error.status_code == 422, (kind, error)
        assert [(one["type"], one["loc"]) for one in error.message] == [(kind, case["loc"])], (kind, error.message)
        assert {**error.message[0].get("ctx", {}), **case.get("ctx", {})} == error.message[0].get("ctx", {}), (kind, error)


async def main():
    print(f"fal_client {fal_client.__version__}")
    for name in ["SyncClient", "AsyncClient"]:
        fal = getattr(fal_client, name)(key="secret")
        await upload(fal)
        url = await train(fal)
        await cancel(fal, url)
        await refused(fal)
        wrong = getattr(fal_client, name)(key="wrong")
        error = await failure(lambda: wrong.submit(app, {}))
        assert error.status_code == 401, error
        print(f"{name}: uploads, training, cancel, {len(refusals)} types of errors")


asyncio.run(main())
