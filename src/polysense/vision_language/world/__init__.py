"""A world to learn in offline: scenes of emoji and stamps, with everything that is true of them in plain English.

Real data sets of pictures and texts need a network and many gigabytes. These scenes are made from a seed, out of
pictures in package registries, so boxes, tags and answers are exact and every part of the training can be tried, taught
and tested on any machine.
"""
