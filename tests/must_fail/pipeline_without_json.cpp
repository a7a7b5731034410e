// A model folder is read with json; whoever includes it is told the switch.
// must say: KINEMA_WITH_JSON=1
#ifdef CORRECTED
#include <kinema/model/cogvideox/transformer.hpp>
#else
#include <kinema/model/cogvideox/model_folder.hpp>
#endif
