"""The names of the world's objects, chosen by hand from the emoji and stamps.

Chosen are things that a child would name in one or two words. Left out are people, faces, hands, signs, symbols, flags,
clock faces and moons; things that no picture of 30 pixels tells apart (a pigeon is no dove, a lorry no truck);
words for many kinds of thing ("bird", "flower", "fruit"), so that "is there a bird?" never has two answers; things that
the pictures show several at a time or that have no singular (cherries, grapes, scissors), so that counts hold; names
with one of the world's colours in them (the orange, the blue book), so that a colour is always a tint; and things whose
name is a part of another's (the fire of "fire engine") where the two would fall in different parts of the world.

Each entry is `name`, then `/plural` where that is not regular, then `=` and the captions that mean the same thing, by
which its pictures are found; the name itself is always one of these.
"""

CATALOGUE = """
rat; mouse/mice; ox/oxen; buffalo/buffaloes=water buffalo; cow; tiger=sumatran tiger; leopard;
rabbit=big eared rabbit,little rabbit,bunny,floppy-eared bunny; cat=black cat; horse; sheep/sheep=baby sheep (a lamb);
goat=mountaingoat; monkey=monkey face; dog=service dog,guide dog; poodle; pig=tamworth pig; boar; elephant; koala;
camel=dromedary camel,bactrian camel,dromedary; hamster; wolf/wolves; bear; polar bear; panda=panda face; chipmunk;
lion=lion face,happy lion; unicorn=unicorn face; bat; fox=fox face; deer/deer=doe; gorilla;
rhinoceros=male black rhino; giraffe=giraffe face; zebra=zebra face; hedgehog; kangaroo=red kangaroo; llama;
hippopotamus; raccoon; badger; mammoth; sloth; otter; orangutan; skunk; beaver; bison/bison; moose/moose; donkey;
squirrel; ferret; marmot; wombat; yak; gnu=blue gnu,sitting gnu; chimpanzee; echidna; capybara=sleeping capybara;
dragon=dragon face; crocodile; snake; turtle; lizard; iguana; dinosaur=sauropod,t-rex,singing dinosaur;
whale=spouting whale; orca; octopus; seashell=spiral shell;
fish/fish=tropical fish,stripey fish,clownfish,butterflyfish,coral trout; dolphin; crab; shark; shrimp; squid;
lobster; seal; coral; jellyfish/jellyfish; seahorse; snail=happy snail; caterpillar=bug; ant; bee=honeybee;
ladybird=lady beetle,ladybug; beetle; spider; scorpion; butterfly; cricket; mosquito/mosquitoes; fly; worm; cockroach;
dragonfly; grasshopper; mantis; slug=brown slug; rooster=colorful rooster; hen=chicken,brown hen;
chick=baby chick,front-facing baby chick; penguin=little penguin,magellanic penguin; dove; turkey; eagle; duck=drake;
owl; peacock=peacock (a male peafowl); parrot; swan; dodo; flamingo=pink flamingo; feather; goose/geese=gander;
crow=black bird; pelican; ostrich; toucan; vulture; seagull=silver gull; magpie; frog; pine tree=evergreen tree;
palm tree; oak tree=deciduous tree,holm oak; christmas tree; cactus; seedling; shamrock; maple leaf/maple leaves;
mushroom=brown mushroom,red headed cep,cep; tulip; cherry blossom; rose; hibiscus=hibiscus flower; sunflower; bouquet;
lotus; hyacinth; daffodil; marigold; iris; pinecone; potted plant; wreath=pine wreath;
tomato/tomatoes=ripe, red tomato; melon; watermelon; tangerine=mandarin orange; lime; lemon=yellow lemon; banana;
pineapple; apple=red apple,green apple,fuji apple,granny smith apple,sierra beauty apple; pear=yellow pear; peach;
strawberry; kiwi=kiwifruit; coconut; mango/mangoes; olive; apricot; pomegranate; raspberry; chestnut; walnut; almond;
pecan; pepper=bell pepper,green pepper,yellow pepper; chilli/chillies=hot pepper,chile pepper;
corn cob=ear of maize,sweet yellow corn; aubergine=eggplant; avocado=avocado fruit; cucumber;
potato/potatoes=brown potato; carrot; broccoli head/broccoli heads=broccoli,eat your broccoli;
lettuce=head of lettuce,head of red lettuce; onion; garlic bulb=garlic; ginger root=ginger 'root; pea pod;
pumpkin=very small pumpkin; hot dog; taco; burrito; hamburger; pizza slice=slice of pizza,quarter of pizza; croissant;
pancake=pancakes; pretzel; sandwich; bagel; waffle; doughnut; cookie; chocolate bar; lollipop; honey pot; shortcake;
birthday cake; pie; cupcake; fortune cookie; bread loaf/bread loaves=bread; baguette=baguette bread; egg;
salad=green salad; cheese wedge; rice ball; dumpling; ice cream cone=soft ice cream; candy cane; bento box; spoon;
knife/knives=hocho; jar; vase=amphora; wine glass; cocktail=cocktail glass; beer mug; milk bottle=baby bottle; teapot;
teacup=hot beverage,teacup without handle; glass of milk/glasses of milk; bubble tea; kettle=electric kettle; mug;
salt shaker; ice cube; motorcycle; racing car=race car,sports car; car=automobile,oncoming automobile,sedan car;
police car=oncoming police car; taxi=oncoming taxi; bus/buses=oncoming bus,double decker bus,green bus;
minibus/minibuses; ambulance; fire engine=fire truck; camper van=recreational vehicle; delivery truck; pickup truck;
dump truck=huge dump truck,dumper; garbage truck; tractor; bicycle; tricycle=pink tricycle; scooter; motor scooter;
skateboard; rickshaw=auto rickshaw; roller skate; wheelchair=manual wheelchair; locomotive=steam locomotive;
tram=tram car; metro train=metro; monorail; rocket; helicopter; aeroplane=airplane,small airplane; flying saucer;
parachute; balloon; hot air balloon; ship; ferry; speedboat; sailboat=walnut sailboat; canoe; anchor; wheel;
traffic light=vertical traffic light,horizontal traffic light; traffic cone; fuel pump; oil drum;
cable car=mountain cableway,aerial tramway; castle=european castle,fairytale castle; windmill; igloo;
tent=medieval tent; circus tent; church; mosque; pyramid; fountain; ferris wheel; factory; stadium;
hut=wooden cottage; house=house building; skyscraper=office building; volcano/volcanoes;
mountain=snow-capped mountain; rainbow; cloud; snowman/snowmen=snowman without snow; snowflake; tornado/tornadoes;
umbrella=closed umbrella; star=medium star,glowing star; planet=ringed planet,saturn;
globe=earth globe americas,earth globe europe-africa,earth globe asia-australia,earth; compass; brick; teddy bear;
kite; yo-yo; dice cube/dice cubes=game die; joystick; jigsaw piece=jigsaw puzzle piece; magic wand; crystal ball;
pinata; chess pawn; present=wrapped present; jack-o-lantern=jack-o'-lantern; ribbon=colorful bow;
trophy/trophies=trophy cup; medal=sports medal; ticket; robot=robot face; ghost; dreidel; rubber duck; soccer ball;
basketball; baseball; softball; volleyball; tennis ball; football=american football; boxing glove; sled; ice skate;
goal net; curling stone; flying disc; tennis racket; cricket bat=cricket bat and ball; parasol=umbrella on ground;
artist palette; picture frame=framed picture; thread spool=spool of thread; yarn ball=ball of yarn; knot; saxophone;
guitar=classical guitar; electric guitar; trumpet; violin; cello; drum=drum with drumsticks; maraca=maracas; flute;
harp; banjo; accordion; piano=musical keyboard; bassoon; microphone=studio microphone; headset=headphone; radio;
movie camera; camera=camera with flash; television; videocassette; light bulb=electric light bulb,lightbulb;
torch/torches=electric torch; candle=lit candle; lantern=izakaya lantern;
magnifying glass=left-pointing magnifying glass,right-pointing magnifying glass; laptop=personal computer;
computer monitor=desktop computer; printer; computer mouse/computer mice; keyboard; trackball; abacus; floppy disk;
battery; plug=electric plug; telephone; mobile phone; pager; fax machine; telescope; microscope; test tube;
satellite dish=satellite antenna; petri dish; syringe; pill; bandage=adhesive bandage;
stethoscope=stethoscope lets your doctor listen to your heart and lungs; thermometer=mercury thermometer; tooth/teeth;
crown; top hat; sombrero; party hat; graduation cap; baseball cap=billed cap; helmet=rescue worker's helmet;
military helmet; necktie; t-shirt=t shirt; polo shirt; dress; kimono; coat; jacket; scarf/scarves; glove; sock; purse;
handbag; backpack=school satchel; shoe=mans shoe; sandal=womans sandal; boot=womans boots; trainer=athletic shoe;
high heel=high-heeled shoe; lipstick; ring; diamond=gem stone; button; bikini; fedora=blue fedora,green fedora;
briefcase; suitcase=luggage; folder=file folder; calendar; clipboard; pushpin; paperclip; ruler=straight ruler;
envelope; package; postbox=uk post box; mailbox=usps mailbox; book=closed book; notebook; newspaper; scroll; bookmark;
pen; pencil; paintbrush=large paintbrush; crayon; marker=dry erase marker; key; padlock=lock; bell=bellhop bell;
megaphone=cheering megaphone; loudspeaker=public address loudspeaker; horn=postal horn; alarm clock; watch; stopwatch;
hourglass; hammer; axe; saw=carpentry saw; screwdriver; wrench=adjustable wrench,plumber's wrench;
shovel=garden spade; pick; ladder; hook; toolbox; magnet; boomerang; dagger; shield; gear; clamp; bomb; bucket; broom;
plunger; basket; chair; sofa=couch and lamp; bed; bathtub; toilet; shower; door; window; mirror; toothbrush; razor;
sponge; soap bar=bar of soap; lotion bottle; fire extinguisher; safety pin;
clothes peg=old-fashioned clothespin,modern clothespin; mouse trap; shopping trolley; wastebasket; wheelie bin; coin;
money bag; credit card; gravestone=headstone,tombstone; coffin; moai statue=moyai; firecracker; confetti ball;
wind chime; carousel horse; roller coaster; slot machine; playground slide
"""
