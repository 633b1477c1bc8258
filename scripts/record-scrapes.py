#!/usr/bin/env python3
"""Records what exporters say, once a second: the raw material of benches/data/scrapes.bin.

    scripts/record-scrapes.py SECONDS FOLDER NAME=URL...

writes FOLDER/NAME.gz for each exporter: `<name> <unix ms> <bytes>`, a line break and the body, again and again. Then

    garner-codec-bench --pack benches/data/scrapes.bin --scrapes N --hide HOSTNAME FOLDER/NAME.gz...

keeps the first N scrapes of each, without comments and without the label values named by --hide.
"""

import gzip
import sys
import threading
import time
import urllib.request


def record(name, url, seconds, folder):
    """One exporter, on a schedule: a slow answer delays its own scrape and not the ones after it."""
    with gzip.open(f"{folder}/{name}.gz", "wb", compresslevel=1) as out:
        start = time.time()
        for n in range(seconds):
            time.sleep(max(0.0, start + n - time.time()))
            now_ms = int(time.time() * 1000)
            try:
                body = urllib.request.urlopen(url, timeout=5).read()
            except OSError as error:
                print(name, error, flush=True)
                continue
            out.write(f"{name} {now_ms} {len(body)}\n".encode())
            out.write(body)


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    seconds, folder = int(sys.argv[1]), sys.argv[2]
    exporters = [pair.split("=", 1) for pair in sys.argv[3:]]
    threads = [threading.Thread(target=record, args=(name, url, seconds, folder)) for name, url in exporters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
