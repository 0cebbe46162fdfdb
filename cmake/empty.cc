// A shared library needs a source; the code comes from the archives that it is linked with.
