"""Models that several machines share: a folder or any URL that fsspec opens, kept in line with each machine's own files.

Everything reads and writes the files in ``data_dir``, as where nothing is shared. Shared are, for each camera, a manifest that
names its files by their sha256, and the files under these names. A file that is read is checked against its name, and the
manifest is written last, so that nobody takes half a model.
"""
