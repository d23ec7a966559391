# Everything comes as a wheel whose hash is checked, so neither stage has a compiler.
FROM python:3.11-slim-bookworm AS packages
COPY requirements.txt .
RUN python -m venv --without-pip /opt/solrouter \
 && pip --python /opt/solrouter/bin/python install --no-cache-dir --disable-pip-version-check \
      --require-hashes --only-binary :all: -r requirements.txt

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin solrouter \
 && install --directory --owner solrouter --mode 0700 /data
COPY --from=packages /opt/solrouter /opt/solrouter
WORKDIR /app
COPY app.py wsgi.py gunicorn.conf.py .flaskenv ./
COPY migrations migrations
COPY solrouter solrouter
RUN /opt/solrouter/bin/python -m compileall -q /app
ENV PATH=/opt/solrouter/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SOLROUTER_INSTANCE_PATH=/data
USER solrouter
EXPOSE 8000
# Streams have SOLROUTER_DRAIN_S after it: give the container 30 s to stop.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('PORT', '8000') + '/healthz', timeout=4)"]
CMD ["gunicorn", "wsgi:app"]
