"""Stage one: a data set through frozen backbones, into stores."""
