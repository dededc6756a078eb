"""The zoo: a generator of unusual, broken and hostile video files whose frames are numbered.

- `barcode`: the number on a frame;  `making`: writes numbered videos;  `kind`: what a file must do;
- `unusual`, `broken`, `pointing`: the kinds;  `corruption`: random damage;
- `oracle`: PyAV decoding forward;  `laws`: what must hold;  `watch`: who opened, who called.
"""
