"""Personal data and secrets in text: found by detectors (detectors/), masked or pseudonymised (replace.py), measured
(measure.py).

Names of persons, street addresses and dates of birth are not detected: they have no form that a rule could check.
"""
