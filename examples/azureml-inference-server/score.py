"""The iris classifier as Azure ML wants a scoring script: init() once, run(raw_data) a request."""

import json

from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

model = None
iris = load_iris()


def init():
    """Trains on the data scikit-learn carries: the example needs no download and no file."""
    global model
    model = LogisticRegression(max_iter=1000).fit(iris.data, iris.target)


def run(raw_data):
    """Answers {"input_data": ROWS}, a row being sepal and petal length and width in cm.

    ROWS is a list of rows, or {"columns": […], "index": […], "data": […]} as pandas writes it
    with orient="split" and Azure ML's own samples send it. An exception here becomes a 500.
    """
    rows = json.loads(raw_data)["input_data"]
    if isinstance(rows, dict):
        rows = rows["data"]
    probabilities = model.predict_proba(rows)
    return {
        "predictions": [str(iris.target_names[row.argmax()]) for row in probabilities],
        "probabilities": [[round(float(value), 4) for value in row] for row in probabilities],
    }
