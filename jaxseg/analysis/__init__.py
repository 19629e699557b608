"""From a study folder to an answer: statistics, features, figures and one HTML report.

`analyze.analyze(study_folder, data_dir)` does it all; the modules below it also serve notebooks.
"""
